import math

import pyarrow.parquet as pq
import pytest

from asyncmde_sim.evaluation.output import write_results
from asyncmde_sim.evaluation.records import SCORES, summarise
from asyncmde_sim.evaluation.rollout import Results, Rollout, run


def results_of(toy: Rollout, episodes: int = 4) -> Results:
    toy.first = toy.env.reset(seed=0)
    results = Results()
    run(toy, episodes, 0, results)
    return results


class Counter:
    def __init__(self) -> None:
        self.begun = self.steps = self.ended = self.closed = 0

    def begin(self, episode, observation, info) -> None:
        self.begun += 1

    def step(self, observation, info, row) -> None:
        self.steps += 1

    def end(self, row) -> None:
        self.ended += 1

    def close(self) -> None:
        self.closed += 1


def test_every_step_is_a_row_and_every_episode_too(toy):
    counter, results = Counter(), Results()
    run(toy, 3, 0, results, [counter])
    assert (counter.begun, counter.ended, counter.closed) == (3, 3, 1)
    assert results.steps.num_rows == counter.steps == sum(results.episodes["steps"].to_pylist())
    assert results.episodes["seed"].to_pylist() == [0, 1, 2]
    assert results.steps_per_s > 0


def test_the_summary_follows_from_the_files(toy, tmp_path):
    results = results_of(toy)
    summary = write_results(results, tmp_path)
    tables = (pq.read_table(tmp_path / f"{name}.parquet") for name in ("episodes", "steps"))
    assert summarise(*tables, results.steps_per_s) == summary


def test_a_summary_of_two_halves_is_the_weighted_mean(toy):
    episodes, steps = (lambda r: (r.episodes, r.steps))(results_of(toy))
    whole = summarise(episodes, steps, None)
    halves, weights = [], []
    for part in ([0, 1], [2, 3]):
        own = steps.filter([index in part for index in steps["episode"].to_pylist()])
        halves.append(summarise(episodes.take(part), own, None))
        weights.append(sum(own["has_depth"].to_pylist()))
    for score in SCORES:
        mean = sum(w * half[score] for w, half in zip(weights, halves, strict=True)) / sum(weights)
        assert math.isclose(whole[score], mean)
    assert whole["frames_dropped"] == sum(half["frames_dropped"] for half in halves)


def test_the_same_seed_gives_the_same_tables(toy):
    first, second = results_of(toy), results_of(toy)
    assert first.episodes.equals(second.episodes)
    assert first.steps.equals(second.steps)


def test_ages_count_only_where_there_is_an_estimate(toy):
    steps = results_of(toy, 1).steps
    has_depth = steps["has_depth"].to_pylist()
    assert [age is not None for age in steps["content_age_s"].to_pylist()] == has_depth
    assert not all(has_depth)


def test_a_stop_keeps_the_finished_episodes(toy):
    counter, results = Counter(), Results()
    run(toy, 5, 0, results, [counter], lambda: counter.ended == 2 and counter.steps > results.steps.num_rows)
    assert results.episodes.num_rows == 2
    assert set(results.steps["episode"].to_pylist()) == {0, 1}
    assert counter.closed == 1
    assert results.steps_taken > results.steps.num_rows


def test_an_error_keeps_the_finished_episodes_and_closes_the_watchers(toy):
    class Failing(Counter):
        def begin(self, episode, observation, info) -> None:
            if episode == 2:
                raise RuntimeError("disk full")

    watcher, results = Failing(), Results()
    with pytest.raises(RuntimeError, match="disk full"):
        run(toy, 5, 0, results, [watcher])
    assert results.episodes.num_rows == 2
    assert watcher.closed == 1


def test_no_summary_without_episodes():
    with pytest.raises(ValueError, match="episodes"):
        Results().summary()
