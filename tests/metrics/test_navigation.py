"""Navigation metrics: definitions, bounds and bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest

from asyncmde_sim.metrics.navigation import (
    collisions_per_metre,
    min_time_to_collision,
    path_excess,
    rate,
    soft_spl,
    spl,
    time_under_ttc,
)


def test_the_shortest_path_to_the_goal_scores_one():
    assert spl(True, 5.0, 5.0) == soft_spl(0.0, 5.0, 5.0) == 1.0
    assert path_excess(5.0, 5.0) == 0.0


def test_definitions():
    assert spl(True, 4.0, 8.0) == 0.5
    assert spl(False, 4.0, 8.0) == 0.0
    assert spl(True, 4.0, 3.9) == 1.0
    assert soft_spl(1.0, 4.0, 8.0) == pytest.approx(0.75 * 0.5)
    assert path_excess(4.0, 5.0) == pytest.approx(0.25)


def test_no_progress_scores_nothing():
    assert soft_spl(9.0, 4.0, 1.0) == soft_spl(math.inf, 4.0, 1.0) == 0.0


def test_at_the_goal_soft_spl_is_spl_of_a_success():
    for path in np.random.default_rng(0).uniform(0.0, 20.0, 50):
        assert soft_spl(0.0, 4.0, path) == spl(True, 4.0, path)
        assert 0 <= soft_spl(2.0, 4.0, path) <= soft_spl(1.0, 4.0, path) <= 1


@pytest.mark.parametrize("shortest", [0.0, -1.0, math.inf, math.nan])
def test_a_shortest_path_that_is_none_is_refused(shortest):
    for score in (
        lambda: spl(True, shortest, 1.0),
        lambda: soft_spl(1.0, shortest, 1.0),
        lambda: path_excess(shortest, 1.0),
    ):
        with pytest.raises(ValueError, match="must be finite and positive"):
            score()


def test_other_bad_lengths_are_refused():
    for wrong in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="the path driven is"):
            spl(True, 1.0, wrong)
        with pytest.raises(ValueError, match="the path driven is"):
            collisions_per_metre(1, wrong)
    for wrong in (-1.0, math.nan):
        with pytest.raises(ValueError, match="distance_to_goal_m"):
            soft_spl(wrong, 1.0, 1.0)
    with pytest.raises(ValueError, match="number of collisions is -1"):
        collisions_per_metre(-1, 1.0)


def test_rates():
    assert rate([True, False, False, True]) == 0.5
    assert collisions_per_metre(3, 12.0) == 0.25
    assert collisions_per_metre(0, 0.0) is None
    with pytest.raises(ValueError, match="0 episodes"):
        rate([])


def test_an_episodes_times_to_collision():
    times = [60.0, 0.9, 0.4, 1.0]
    assert min_time_to_collision(times) == 0.4
    assert time_under_ttc(times, step_s=0.1) == pytest.approx(0.2)
    with pytest.raises(ValueError, match="at least one step"):
        min_time_to_collision([])
