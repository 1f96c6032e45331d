"""How many images a second processes render side by side, and what a worker process of Habitat-Sim costs."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from typing import Any

import numpy as np

from asyncmde_sim.evaluation.backend_parity import random_views
from asyncmde_sim.scenes import load_backend
from asyncmde_sim.scenes.camera import Camera
from asyncmde_sim.scenes.habitat.backend import HabitatBackend

VIEWS = 12


@dataclass(frozen=True)
class Load:
    """What a process renders.

    Args:
        scene: Name or file.
        backend: See ``scenes.load_backend``.
        camera: The camera.
        seconds: For how long.
        seed: Draws the views.
    """

    scene: str
    backend: str
    camera: Camera
    seconds: float
    seed: int = 0


@dataclass(frozen=True)
class WorkerCost:
    """Seconds an image, medians over rounds in turn.

    Args:
        render_s: ``HabitatBackend.render``: through the worker, colours and depth copied out.
        inside_s: The same drawing and reading in a loop inside the worker.
        own_s: Colour and depth by Habitat-Sim's own way of a sensor and a pass for each, inside the worker.
    """

    render_s: float
    inside_s: float
    own_s: float


def throughput(load: Load, processes: int) -> float:
    """Images a second that so many processes render together, each with a backend of its own."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(processes), context.Queue()
    workers = [context.Process(target=_render, args=(load, barrier, results)) for _ in range(processes)]
    for worker in workers:
        worker.start()
    try:
        rates = [results.get(timeout=600) for _ in workers]
    finally:
        for worker in workers:
            worker.join(30)
            worker.kill()
    failed = [rate for rate in rates if isinstance(rate, str)]
    if failed:
        raise RuntimeError(failed[0])
    return sum(rates)


def worker_cost(load: Load, rounds: int = 12) -> WorkerCost:
    """Time the habitat backend beside the same loop inside its worker; the rounds alternate."""
    backend = load_backend(load.scene, load.backend)
    assert isinstance(backend, HabitatBackend)
    views = random_views(backend, VIEWS, np.random.default_rng(load.seed))
    camera = load.camera
    backend.frames(camera)
    requests = [backend.drawing(camera, view) for view in views]
    eyes = [request["frames"][0]["camera"] for request in requests]
    size: dict[str, Any] = {"width": camera.width, "height": camera.height}
    hfov = float(np.degrees(camera.hfov_rad))
    times: list[tuple[float, float, float]] = []
    for _ in range(rounds):
        start = time.perf_counter()
        for view in views:
            backend.render(camera, view)
        render = time.perf_counter() - start
        inside = backend.worker.request("time_renders", requests=requests, rounds=1)
        own = backend.worker.request("time_observations", **size, hfov_deg=hfov, poses=eyes, rounds=1)
        times.append((render, inside, own))
    backend.close()
    return WorkerCost(*(float(t) / VIEWS for t in np.median(times, axis=0)))


def _render(load: Load, barrier: Barrier, results: Any) -> None:
    try:
        backend = load_backend(load.scene, load.backend)
        views = random_views(backend, VIEWS, np.random.default_rng(load.seed))
        for view in views:
            backend.render(load.camera, view)
    except Exception as error:
        barrier.abort()
        results.put(f"{type(error).__name__}: {error}")
        return
    barrier.wait(300)
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < load.seconds:
        for view in views:
            backend.render(load.camera, view)
        count += len(views)
    results.put(count / (time.perf_counter() - start))
    backend.close()


def parse_sizes(sizes: Sequence[str]) -> list[tuple[int, int]]:
    """Width and height of ``256x192`` and the like.

    Raises:
        ValueError: One is none.
    """
    found = []
    for size in sizes:
        width, _, height = size.partition("x")
        if not (width.isdecimal() and height.isdecimal()):
            raise ValueError(f"a size is {size!r}, but width and height are needed, such as 256x192")
        found.append((int(width), int(height)))
    return found
