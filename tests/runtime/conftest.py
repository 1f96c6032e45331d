"""Profiles, frames and their replay through a source."""

from __future__ import annotations

import numpy as np
import pytest

from asyncmde_sim.intrinsics import Intrinsics
from asyncmde_sim.runtime import Frame, LatencyDistribution, LatencyProfile
from asyncmde_sim.runtime.types import View


@pytest.fixture
def make_profile():
    """Profile of constants (ns), or of tuples of samples."""

    def make(fast=0, fast_contended=None, slow=0, slow_contended=None):
        contended = (
            fast if fast_contended is None else fast_contended,
            slow if slow_contended is None else slow_contended,
        )
        values = (fast, contended[0], slow, contended[1])
        parts = [LatencyDistribution(v if isinstance(v, tuple) else (v,)) for v in values]
        return LatencyProfile("test", "made up", *parts)

    return make


@pytest.fixture
def make_frames():
    """Frames number 0, 1, ... at the given times, each with its number as true depth, all from one place."""
    view = View(np.eye(4), Intrinsics(2, 2, 1.0, 1.0, 0.5, 0.5))

    def make(times):
        return [
            Frame(np.full((2, 2, 3), number, np.uint8), int(at), np.full((2, 2), number, np.float32), view)
            for number, at in enumerate(times)
        ]

    return make


@pytest.fixture
def replay():
    """Offer frames at their capture times and ask at the given times; return the answers by time."""

    def run(source, frames, ask_at, seed=0):
        source.reset(seed)
        answers, waiting = {}, list(frames)
        for now in ask_at:
            while waiting and waiting[0].time_ns <= now:
                source.offer(waiting.pop(0))
            answers[now] = source.newest(now)
        return answers

    return run
