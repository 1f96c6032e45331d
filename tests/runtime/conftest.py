"""Fake engines whose numbers tell which frames and which memory an estimate was made from."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
import pytest

from asyncmde_sim.intrinsics import Intrinsics
from asyncmde_sim.runtime import Frame, LatencyDistribution, LatencyProfile
from asyncmde_sim.runtime.types import View


def _map(value: float) -> np.ndarray:
    return np.full((2, 2), value, np.float32)


@dataclass
class FakeEngines:
    """Slow, fast and single engine in one. A frame's number is its image's value."""

    sleep_s: float = 0.0
    ran: list[tuple[str, int]] = field(default_factory=list)

    def _number(self, path: str, image: np.ndarray) -> int:
        time.sleep(self.sleep_s)
        self.ran.append((path, int(image[0, 0, 0])))
        return int(image[0, 0, 0])

    @property
    def slow(self) -> FakeSlow:
        return FakeSlow(self)

    @property
    def fast(self) -> FakeFast:
        return FakeFast(self)

    @property
    def single(self) -> FakeSingle:
        return FakeSingle(self)


@dataclass
class FakeSlow:
    engines: FakeEngines

    def run(self, image):
        return _map(self.engines._number("slow", image) + 0.5)

    def memory(self, image):
        return 10.0 * self.engines._number("slow", image)

    def depth_and_memory(self, image):
        memory = self.memory(image)
        return _map(memory / 10 + 0.5), memory


@dataclass
class FakeFast:
    """State: (memory, number of the previous frame). Each run mixes both into the memory that it writes."""

    engines: FakeEngines

    def run(self, image, state):
        number = self.engines._number("fast", image)
        memory, previous = state
        fused = 0.5 * memory + 0.25 * previous + number
        return _map(fused), (fused, number), _map(0.5)

    def remember(self, image, state):
        return self.run(image, state)[1]

    def refreshed(self, state, memory):
        return (memory, -1 if state is None else state[1])

    def turned(self, state, rotation, camera):
        return state

    def turned_memory(self, memory, rotation, camera):
        return memory


@dataclass
class FakeSingle:
    engines: FakeEngines

    def run(self, image):
        return _map(self.engines._number("single", image))


@pytest.fixture
def make_engines():
    return FakeEngines


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
            Frame(np.full((2, 2, 3), number, np.uint8), int(at), _map(number), view)
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
