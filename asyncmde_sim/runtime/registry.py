"""Depth sources by name."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from asyncmde_sim.runtime.async_sources import AsyncOdometrySource, AsyncSource, CatchUpSource
from asyncmde_sim.runtime.concurrent_source import ConcurrentSource
from asyncmde_sim.runtime.engines import Engines, LazyEngines
from asyncmde_sim.runtime.engines.no_engines import NoEngines
from asyncmde_sim.runtime.engines.spec import parse_engine
from asyncmde_sim.runtime.latency import LatencyProfile
from asyncmde_sim.runtime.own_model import OwnEngines, is_own
from asyncmde_sim.runtime.refresh import RefreshPolicy, parse_refresh
from asyncmde_sim.runtime.replay import Timing, load_timing
from asyncmde_sim.runtime.schedule import PathName
from asyncmde_sim.runtime.sources import (
    AlignedSource,
    BlindSource,
    DelayedSource,
    OracleSource,
    SinglePathSource,
)
from asyncmde_sim.runtime.trace import LatencyTrace
from asyncmde_sim.runtime.treatments import DELAY_ONLY, ERROR_ONLY, TREATMENTS, WHOLE, TruthSource, at_once
from asyncmde_sim.runtime.types import DepthSource
from asyncmde_sim.runtime.wall_clock import PacedSource, WallClock

if TYPE_CHECKING:
    from asyncmde_sim.runtime.alignment import Alignment


def _single(path: PathName, engines: Engines, timing: Timing) -> DepthSource:
    return SinglePathSource(path, engines, profile_of(timing))


_BUILDERS: dict[str, Callable[[Engines, Timing, RefreshPolicy], DepthSource]] = {
    "oracle": lambda engines, timing, policy: OracleSource(),
    "foundation": lambda engines, timing, policy: _single("slow", engines, timing),
    "fast": lambda engines, timing, policy: _single("fast", engines, timing),
    "async": AsyncSource,
    "async-odometry": AsyncOdometrySource,
    "async-catch-up": CatchUpSource,
    "blind": lambda engines, timing, policy: BlindSource(),
}
SOURCE_NAMES = tuple(_BUILDERS)
DEVICELESS = ("oracle", "blind")
"""Sources that run on no device."""

REMOTE = {"hil": "asyncmde_sim.hil.remote:remote_source"}
"""Sources that are an address, by its scheme; each is imported where it is used."""

CLOCKS = ("simulated", "wall")


def is_remote(depth: str) -> bool:
    """Whether a depth source is the address of a device."""
    return urlsplit(depth).scheme in REMOTE


def timeline_of(depth: str) -> str:
    """The source by name that has the same delays as another one, whatever the networks of the two."""
    if depth in _BUILDERS and depth not in ("async-odometry", "async-catch-up"):
        return depth
    return "foundation" if is_own(depth) else "async"


def profile_of(timing: Timing) -> LatencyProfile:
    """The profile, for a source that cannot replay a trace.

    Raises:
        ValueError: It is a trace.
    """
    if isinstance(timing, LatencyTrace):
        raise ValueError(
            f"the latency trace {timing.name} is of both paths, but this depth source has one: use 'async'"
        )
    return timing


def make_source(
    depth: str = "async",
    device: str | None = None,
    refresh: str = "free",
    latency_ms: float = 0.0,
    weights: str | None = None,
    focal: float | None = None,
    engine: str | None = None,
    align: str | None = None,
    clock: str = "simulated",
    treatment: str = WHOLE,
) -> DepthSource:
    """A depth source by name. Networks are loaded, and devices connected, at its first ``reset``.

    Args:
        depth: ``oracle`` (true depth), ``foundation`` (slow path alone), ``fast`` (fast path alone, without
            memory), ``async`` (both with the memory: the paper's system), ``async-odometry`` (the same, which
            also knows how the camera has moved), ``async-catch-up`` (the paper's, with the frames since a
            refresh replayed when it lands), ``blind`` (nothing), ``hil://HOST:PORT`` (``async`` on a
            device; see ``hil.remote``), or ``module:Class``, a model of your own in the place of
            ``foundation``'s (see ``own_model.DepthModel``).
        device: Latency profile: a built-in name or the path of a JSON file; or a latency trace (.parquet) for
            the asynchronous sources. None is ``ideal``, and for a remote device what it measures itself.
            ``oracle`` and ``blind`` run on no device and take none of its time.
        refresh: When the slow path of an asynchronous source starts: ``free``, ``every-N`` or
            ``turned-D``; no other source refreshes.
        latency_ms: A constant, pipelined delay on top, for any source, milliseconds.
        weights: Name or folder of the networks' weights; None for those shipped, and on a device for any.
        focal: Focal length of the camera as a share of the image's width; None for that of the weights.
        engine: What runs the networks, such as ``torch`` or ``onnx-int8``; None for the fastest on a CPU that
            the weights come with. See ``engines.spec.parse_engine``.
        align: What brings the relative depth of ``foundation`` to metres: ``floor`` (the camera's height over
            the floor), ``ranges`` (a few range readings) or ``odometry``; None for weights that give metres.
        clock: ``simulated``, or ``wall`` for ``async`` and a remote device: time passes as the host's.
        treatment: ``whole``; ``error only``: an estimate is there as soon as its frame is, while refreshes
            take their time, so that a stale memory counts as an error; or ``delay only``: estimates come when
            they would, but hold the true depth of the frames that they describe.

    Raises:
        ValueError: One of these does not exist or is out of bounds; every one is checked for every source.
            Whether weights and ``align`` fit each other shows at the source's first ``reset``.
        ModuleNotFoundError: A remote source needs the extra ``hil``.
    """
    remote, own = is_remote(depth), is_own(depth)
    if depth not in _BUILDERS and not remote and not own:
        raise ValueError(
            f"unknown depth source {depth!r}: there are {', '.join(SOURCE_NAMES)}, hil://HOST:PORT, and "
            "module:Class for a model of your own"
        )
    if not (math.isfinite(latency_ms) and latency_ms >= 0):
        raise ValueError(f"latency_ms is {latency_ms}, but a delay is finite and 0 ms or more")
    if clock not in CLOCKS:
        raise ValueError(f"unknown clock {clock!r}: choose one of {', '.join(CLOCKS)}")
    if engine is not None:
        parse_engine(engine)
    if align is not None and depth != "foundation" and not own:
        raise ValueError(
            f"align is {align!r}, but the depth source {depth!r} takes no relative depth: use "
            "'foundation' or a model of your own, or leave align out"
        )
    if own and engine is not None:
        raise ValueError(f"engine is {engine!r}, but a model of your own has its own: leave it out")
    if treatment not in TREATMENTS:
        raise ValueError(f"unknown treatment {treatment!r}: choose one of {', '.join(TREATMENTS)}")
    if treatment != WHOLE and (remote or clock == "wall"):
        raise ValueError(
            f"treatment is {treatment!r}, but what a device or the wall clock delivers has its delay and its "
            "error together: use a latency profile on the simulated clock"
        )
    latency_ns = round(latency_ms * 1e6)
    if clock == "wall" and latency_ns:
        raise ValueError(
            f"latency_ms is {latency_ms}, but on the wall clock nothing is delayed: leave it out"
        )
    policy = parse_refresh(refresh)
    if remote:
        if engine is not None:
            raise ValueError(f"engine is {engine!r}, but a remote device has its own: choose it there")
        module, name = REMOTE[urlsplit(depth).scheme].split(":")
        build = getattr(importlib.import_module(module), name)
        source: DepthSource = build(depth, device or "measured", refresh, clock, weights, focal)
    else:
        timing = load_timing(device or "ideal")
        if isinstance(timing, LatencyTrace) and refresh != "free":
            raise ValueError(
                f"refresh is {refresh!r}, but the latency trace {timing.name} says when the slow path "
                "starts: leave refresh out"
            )
        if treatment == ERROR_ONLY:
            if isinstance(timing, LatencyTrace):
                raise ValueError(
                    f"treatment is 'error only', but the delays in the latency trace {timing.name} cannot be "
                    "taken out of it: use a latency profile"
                )
            timing = at_once(timing, slow=timeline_of(depth) == "foundation")
            latency_ns = 0
        engines = OwnEngines(depth, weights, focal) if own else LazyEngines(weights, focal, engine)
        if clock == "wall":
            source = _on_wall_clock(depth, device, refresh, engines)
        elif treatment == DELAY_ONLY:
            source = TruthSource(_BUILDERS[timeline_of(depth)](NoEngines(), timing, policy))
        elif align is not None:
            source = AlignedSource(engines, profile_of(timing), _alignment(align))
        else:
            source = _BUILDERS["foundation" if own else depth](engines, timing, policy)
    return DelayedSource(source, latency_ns) if latency_ns else source


def _on_wall_clock(depth: str, device: str | None, refresh: str, engines: Engines) -> DepthSource:
    if depth != "async":
        raise ValueError(
            f"the wall clock runs 'async' or a remote device, not {depth!r}: choose one of these"
        )
    if device not in (None, "ideal") or refresh != "free":
        raise ValueError(
            f"device is {device!r} and refresh {refresh!r}, but on the wall clock both paths run on this "
            "machine whenever they are free: leave both out"
        )
    wall = WallClock()
    return PacedSource(ConcurrentSource(engines, wall.now_ns), wall)


def _alignment(name: str) -> Alignment:
    from asyncmde_sim.runtime.alignment import make_alignment  # a device that computes depth needs no scipy

    return make_alignment(name)
