"""The same suite in processes of this machine and on a Ray cluster of two nodes, whose workers die."""

import contextlib
import os
import socket
from pathlib import Path

import pytest
import trimesh
from rich.console import Console

from asyncmde_sim.evaluation.suite import load_results
from asyncmde_sim.evaluation.suite.local import LocalRunner, cores_of
from asyncmde_sim.evaluation.suite.plan import Plan, fixed_cells
from asyncmde_sim.evaluation.suite.progress import SuiteProgress
from asyncmde_sim.evaluation.suite.run import run_suite
from asyncmde_sim.evaluation.suite.store import Store
from asyncmde_sim.evaluation.suite.suite import parse_suite
from asyncmde_sim.evaluation.suite.work import run_job

MODELS = """
import os, signal
from pathlib import Path
import numpy as np

class Model:
    def __init__(self, weights, focal):
        self.ran = 0

    def run(self, image):
        self.ran += 1
        self.meet_its_end()
        return np.full(image.shape[:2], 2.0, np.float32)

    def meet_its_end(self):
        pass

class Once(Model):
    marker = Path({marker!r})

    def meet_its_end(self):
        if self.ran == 3 and not self.marker.exists():
            self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)

class Always(Model):
    def meet_its_end(self):
        os.kill(os.getpid(), signal.SIGKILL)

class Raising(Model):
    def meet_its_end(self):
        if self.ran >= 3:
            raise RuntimeError("out of ideas")
"""


@pytest.fixture
def suite(tmp_path, monkeypatch):
    """A suite in a small room whose depth models die and raise."""
    walls = [((7, 0.1, 2.5), (0, y, 1.25)) for y in (-2.5, 2.5)]
    walls += [((0.1, 5, 2.5), (x, 0, 1.25)) for x in (-3.5, 3.5)]
    boxes = [((7, 5, 0.1), (0, 0, z)) for z in (-0.05, 2.55)] + walls
    at = trimesh.transformations.translation_matrix
    room = trimesh.util.concatenate([trimesh.creation.box(size, at(centre)) for size, centre in boxes])
    room.export(tmp_path / "room.ply")
    (tmp_path / "mortals.py").write_text(MODELS.format(marker=str(tmp_path / "died")))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    return parse_suite(
        {
            "environments": [{"env": "IndoorStatic-v0", "scene": "room.ply", "image_size": [48, 36]}],
            "depth": ["oracle", *(f"mortals:{name}" for name in ("Model", "Once", "Always", "Raising"))],
            "devices": ["ideal"],
            "agents": ["straight"],
            "seeds": 3,
        },
        "mortal",
    )


class LosingANode:
    """A runner on a cluster one of whose nodes is killed when some episodes have ended."""

    def __init__(self, runner, cluster, node) -> None:
        self.runner, self.cluster, self.node = runner, cluster, node

    def run(self, take):
        with contextlib.closing(self.runner.run(take)) as outcomes:
            ended = 0
            for outcome in outcomes:
                yield outcome
                ended += outcome is not None
                if ended == 4 and self.node is not None:
                    self.cluster.remove_node(self.node, allow_graceful=False)
                    self.node = None
        assert self.node is None, "it was killed"


@contextlib.contextmanager
def local():
    yield LocalRunner(2)


@contextlib.contextmanager
def on_ray():
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    from asyncmde_sim.evaluation.suite.on_ray import RayRunner

    # On loopback; 127.0.0.1 itself Ray would take for this machine's address in its network.
    head, other = ({"num_cpus": 1, "node_ip_address": f"127.0.0.{n}"} for n in (2, 3))
    cluster = Cluster(initialize_head=True, head_node_args={**head, "include_dashboard": False})
    node = cluster.add_node(**other)
    try:
        yield LosingANode(RayRunner(cluster.address), cluster, node)
    finally:
        ray.shutdown()
        cluster.shutdown()


@pytest.mark.parametrize("make_runner", [local, on_ray])
def test_every_episode_comes_once_whoever_dies(make_runner, suite, tmp_path):
    with make_runner() as runner:
        store = Store(tmp_path / "out", suite)
        plan = Plan(suite, fixed_cells(suite), load_results(store.folder))
        jobs = list(plan.left)
        run_suite(store, plan, runner, SuiteProgress(Console(quiet=True), 0, 2))
        store.fold()
    assert (tmp_path / "died").exists(), "a worker did die"
    results = load_results(tmp_path / "out")
    failed = {results.cells[key].depth: text for key, text in results.failures.items()}
    assert set(failed) == {"Always", "Raising"}
    assert "3 workers died" in failed["Always"]
    assert "Traceback" in failed["Raising"] and "out of ideas" in failed["Raising"]
    expected = [run_job(job).row for job in jobs if job.cell.depth not in failed]
    key = [(job.cell.key, job.seed) for job in jobs if job.cell.depth not in failed]
    found = {(row.pop("cell"), row["seed"]): row for row in results.episodes.to_pylist()}
    assert found == dict(zip(key, expected, strict=True))
    assert results.episodes.num_rows == len(expected)
    assert results.steps.count_rows() == sum(row["steps"] for row in expected)


@pytest.mark.parametrize("workers", [1, 2, 3, 4, 5, 16])
def test_workers_have_as_many_cores_each_and_share_none_where_there_are_enough(workers):
    cores = [0, 1, 4, 5, 8, 9, 10, 11]
    found = cores_of(workers, cores)
    assert len(found) == workers and len({len(own) for own in found}) == 1
    assert set().union(*found) <= set(cores)
    if workers <= len(cores):
        assert sum(map(len, found)) == len(set().union(*found))


def test_a_worker_is_on_its_own_cores_and_the_first_process_on_all(suite, tmp_path):
    before = os.sched_getaffinity(0)
    runner = LocalRunner(len(before))
    plan = Plan(suite, fixed_cells(suite), load_results(Store(tmp_path / "out", suite).folder))
    running = runner.run(plan.take)
    next(running)
    children = map(int, Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())
    cores = [os.sched_getaffinity(pid) for pid in children]
    assert sum(own in [{core} for core in before] for own in cores) >= len(before)
    assert os.sched_getaffinity(0) == before
    running.close()


def test_a_cluster_that_is_not_there_is_told_at_once():
    pytest.importorskip("ray")
    from asyncmde_sim.evaluation.suite.on_ray import RayRunner

    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(
            ConnectionError, match=f"no Ray cluster at {address} .*: start one with ray start"
        ):
            RayRunner(address)


def test_what_cannot_be_run_is_refused():
    with pytest.raises(ValueError, match="workers is 0"):
        LocalRunner(0)
    with pytest.raises(ValueError, match=r"gpus_per_run is 0\.5 and this machine has"):
        LocalRunner(1000, gpus_per_run=0.5)
