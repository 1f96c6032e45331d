"""The worker process: messages, refusals, death, and what is left of it."""

from __future__ import annotations

import ast
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from asyncmde_sim.scenes import load_backend
from asyncmde_sim.scenes.backend import RobotBody
from asyncmde_sim.scenes.camera import Camera, RigidMotion
from asyncmde_sim.scenes.habitat import client, worker
from asyncmde_sim.scenes.habitat.backend import HabitatBackend
from asyncmde_sim.scenes.habitat.client import Worker, WorkerLostError

CAMERA = Camera(64, 48)
BODY = RobotBody(0.18, 0.5)
VIEW = RigidMotion(np.array([[0.0, 0, 1, 1], [-1, 0, 0, 1], [0, -1, 0, 1], [0, 0, 0, 1]]))
WITHIN_S = 2.0


def gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"


def wait_until_gone(pid: int) -> bool:
    limit = time.monotonic() + WITHIN_S
    while not gone(pid) and time.monotonic() < limit:
        time.sleep(0.02)
    return gone(pid)


def held() -> tuple[int, set[str]]:
    """Open files of this process, and shared memory with a name."""
    return len(os.listdir("/proc/self/fd")), set(os.listdir("/dev/shm"))


def test_messages_survive_the_channel():
    here, there = socket.socketpair()
    with here, there:
        message = {"op": "x", "numbers": [0.1, 1e-17, float("inf")], "text": "ä" * 100_000}
        sender = threading.Thread(target=worker.send, args=(here, message))
        sender.start()
        assert worker.receive(there) == message
        sender.join()
        here.close()
        with pytest.raises(EOFError, match="closed the channel"):
            worker.receive(there)


def test_the_worker_file_stands_alone():
    source = Path(worker.__file__).read_text()
    tree = ast.parse(source, feature_version=(3, 9))
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
        )
    }
    assert imported - set(sys.stdlib_module_names) == {"numpy", "habitat_sim", "magnum"}


def test_a_start_says_what_is_missing(fake, monkeypatch, room):
    before = held()
    fake("start=missing")
    with pytest.raises(
        ImportError, match=r"no simulator here: install Habitat-Sim .* with ASYNCMDE_HABITAT_PYTHON"
    ):
        load_backend(room, "habitat")
    monkeypatch.setattr(client, "WORKER_FILE", Path(worker.__file__))
    with pytest.raises(ImportError, match=f"{sys.executable} cannot import habitat_sim"):
        load_backend(room, "habitat")
    monkeypatch.setenv(client.PYTHON_VARIABLE, "/nowhere/python")
    with pytest.raises(FileNotFoundError, match=r"/nowhere/python cannot be run .*name the interpreter"):
        load_backend(room, "habitat")
    assert held() == before


def test_a_refusal_leaves_the_worker_usable(room):
    backend = load_backend(room, "habitat")
    with pytest.raises(RuntimeError, match="nothing: AttributeError"):
        backend.worker.request("nothing")
    assert backend.render(CAMERA, VIEW).depth.max() > 0
    backend.close()
    with pytest.raises(WorkerLostError, match="is closed: load the scene again"):
        backend.render(CAMERA, VIEW)


@pytest.mark.parametrize("op", ["load", "camera", "render", "navmesh"])
def test_a_death_gives_one_clear_error_and_leaves_nothing(op, fake, room):
    load_backend(room)
    before = held()
    fake(f"{op}=die")
    started = Worker()
    began = time.monotonic()
    with pytest.raises(
        WorkerLostError, match=rf"process {started.pid}\) was lost at '{op}': it was killed \(SIGKILL\)"
    ):
        backend = HabitatBackend(started, room)
        backend.render(CAMERA, VIEW)
        backend.distance_field(np.array([1.0, 1.0, 0.0]), BODY)
    assert time.monotonic() - began < WITHIN_S
    assert gone(started.pid) and held() == before


@pytest.mark.parametrize("moment", range(6))
def test_killed_at_any_moment(moment, kind, room):
    rng = np.random.default_rng(moment)
    backend = load_backend(room, "habitat")
    backend.render(CAMERA, VIEW)
    pid = backend.worker.pid
    killed: list[float] = []

    def kill() -> None:
        os.kill(pid, signal.SIGKILL)
        killed.append(time.monotonic())

    threading.Timer(float(rng.uniform(0.0, 0.1)), kill).start()
    with pytest.raises(WorkerLostError, match="was killed"):
        for _ in range(100_000):
            backend.render(CAMERA, VIEW)
    assert time.monotonic() - killed[0] < WITHIN_S and gone(pid)
    with pytest.raises(WorkerLostError, match="was killed"):
        backend.render(CAMERA, VIEW)


def test_a_frozen_worker_is_given_up(fake, room, monkeypatch):
    backend = load_backend(room, "habitat")
    os.kill(backend.worker.pid, signal.SIGSTOP)
    with pytest.raises(WorkerLostError, match=r"lost at 'map': it has been silent for 0\.6 s"):
        backend.worker.request("map", patience_s=0.6)
    assert gone(backend.worker.pid)


def test_a_slow_worker_that_beats_is_waited_for(room, monkeypatch):
    backend = load_backend(room, "habitat")
    requests = [backend.drawing(CAMERA, VIEW)]
    backend.frames(CAMERA)
    backend.worker.request("time_renders", patience_s=0.5, requests=requests, seconds=1.5)
    backend.close()


PARENT = """
import os, sys, time
from pathlib import Path
from asyncmde_sim.scenes.habitat.backend import HabitatBackend
from asyncmde_sim.scenes.habitat.client import Worker
worker = Worker(file=Path(sys.argv[1]))
if sys.argv[2] == "fork" and os.fork() == 0:
    time.sleep(20)
print(worker.pid, flush=True)
time.sleep(20)
"""


@pytest.mark.parametrize("how", ["alone", "fork"])
def test_no_orphan_when_the_parent_is_killed(how):
    arguments = [sys.executable, "-c", PARENT, str(client.WORKER_FILE), how]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, start_new_session=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        try:
            assert not gone(pid)
            parent.kill()
            assert wait_until_gone(pid)
        finally:
            os.killpg(parent.pid, signal.SIGKILL)


def test_a_forked_process_has_no_worker_and_costs_the_parent_none(room):
    backend = load_backend(room, "habitat")
    child = os.fork()
    if child == 0:
        try:
            backend.render(CAMERA, VIEW)
        except WorkerLostError as error:
            os._exit(0 if "belongs to the process that started it" in str(error) else 1)
        os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert backend.render(CAMERA, VIEW).depth.max() > 0
    backend.close()
