"""Depth sources by name."""

from __future__ import annotations

import math
from collections.abc import Callable

from asyncmde_sim.runtime.alignment import make_alignment
from asyncmde_sim.runtime.engines import Engines, LazyEngines
from asyncmde_sim.runtime.engines.spec import parse_engine
from asyncmde_sim.runtime.latency import LatencyProfile, load_profile
from asyncmde_sim.runtime.refresh import RefreshPolicy, parse_refresh
from asyncmde_sim.runtime.sources import (
    AlignedSource,
    AsyncOdometrySource,
    AsyncSource,
    BlindSource,
    CatchUpSource,
    DelayedSource,
    OracleSource,
    SinglePathSource,
)
from asyncmde_sim.runtime.types import DepthSource

_BUILDERS: dict[str, Callable[[Engines, LatencyProfile, RefreshPolicy], DepthSource]] = {
    "oracle": lambda engines, profile, policy: OracleSource(),
    "foundation": lambda engines, profile, policy: SinglePathSource("slow", engines, profile),
    "fast": lambda engines, profile, policy: SinglePathSource("fast", engines, profile),
    "async": AsyncSource,
    "async-odometry": AsyncOdometrySource,
    "async-catch-up": CatchUpSource,
    "blind": lambda engines, profile, policy: BlindSource(),
}
SOURCE_NAMES = tuple(_BUILDERS)


def make_source(
    depth: str = "async",
    device: str = "ideal",
    refresh: str = "free",
    latency_ms: float = 0.0,
    weights: str | None = None,
    focal: float | None = None,
    engine: str | None = None,
    align: str | None = None,
) -> DepthSource:
    """A depth source by name. Networks are loaded at its first ``reset``.

    Args:
        depth: ``oracle`` (true depth), ``foundation`` (slow path alone), ``fast`` (fast path alone, without
            memory), ``async`` (both with the memory: the paper's system), ``async-odometry`` (the same, which
            also knows how the camera has moved), ``async-catch-up`` (the paper's, with the frames since a
            refresh replayed when it lands) or ``blind`` (nothing).
        device: Latency profile: a built-in name or the path of a JSON file. ``oracle`` and ``blind`` run on
            no device and take none of its time.
        refresh: When the slow path of an asynchronous source starts: ``free``, ``every-N`` or
            ``turned-D``; no other source refreshes.
        latency_ms: A constant, pipelined delay on top, for any source, milliseconds.
        weights: Name or folder of the networks' weights; None for those shipped.
        focal: Focal length of the camera as a share of the image's width; None for that of the weights.
        engine: What runs the networks, such as ``torch`` or ``onnx-int8``; None for the fastest on a CPU that
            the weights come with. See ``engines.spec.parse_engine``.
        align: What brings the relative depth of ``foundation`` to metres: ``floor`` (the camera's height over
            the floor), ``ranges`` (a few range readings) or ``odometry``; None for weights that give metres.

    Raises:
        ValueError: One of these does not exist or is out of bounds; every one is checked for every source.
            Whether weights and ``align`` fit each other shows at the source's first ``reset``.
    """
    if depth not in _BUILDERS:
        raise ValueError(f"unknown depth source {depth!r}: there are {', '.join(SOURCE_NAMES)}")
    if not (math.isfinite(latency_ms) and latency_ms >= 0):
        raise ValueError(f"latency_ms is {latency_ms}, but a delay is finite and 0 ms or more")
    if engine is not None:
        parse_engine(engine)
    engines = LazyEngines(weights, focal, engine)
    profile, policy = load_profile(device), parse_refresh(refresh)
    if align is None:
        source = _BUILDERS[depth](engines, profile, policy)
    else:
        if depth != "foundation":
            raise ValueError(
                f"align is {align!r}, but the depth source {depth!r} takes no relative depth: use "
                "'foundation', or leave align out"
            )
        source = AlignedSource(engines, profile, make_alignment(align))
    latency_ns = round(latency_ms * 1e6)
    return DelayedSource(source, latency_ns) if latency_ns else source
