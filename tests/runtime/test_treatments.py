import json

import numpy as np
import pytest

from asyncmde_sim.runtime import make_source
from asyncmde_sim.runtime.async_sources import AsyncSource
from asyncmde_sim.runtime.latency import LATENCIES
from asyncmde_sim.runtime.refresh import FreeRunning
from asyncmde_sim.runtime.registry import timeline_of
from asyncmde_sim.runtime.sources import SinglePathSource
from asyncmde_sim.runtime.treatments import DELAY_ONLY, ERROR_ONLY, at_once

TIMES = range(0, 600, 10)
ASKED = range(0, 600, 5)
WHEN = ("capture_ns", "available_ns", "memory_capture_ns", "refresh_landed_ns")


@pytest.fixture
def profile(make_profile):
    return make_profile(fast=(13, 22), slow=71, slow_contended=(64, 90))


@pytest.fixture
def device(profile, tmp_path):
    """The profile's file: it holds milliseconds."""
    path = tmp_path / "device.json"
    path.write_text(json.dumps(profile.as_dict()))
    return str(path)


@pytest.mark.parametrize("depth", ["async", "async-odometry", "async-catch-up", "fast", "foundation"])
def test_delay_only_is_true_depth_when_the_source_would_have_had_its_own(
    depth, profile, device, make_engines, make_frames, replay
):
    frames, engines = make_frames(TIMES), make_engines()
    whole = (
        SinglePathSource("fast" if depth == "fast" else "slow", engines, profile)
        if depth in ("fast", "foundation")
        else AsyncSource(engines, profile, FreeRunning())
    )
    expected = replay(whole, frames, ASKED)
    source = make_source(depth, device, treatment=DELAY_ONLY)
    found = replay(source, frames, ASKED)
    assert source.counts == whole.counts
    assert sum(estimate is not None for estimate in found.values()) > 50
    for now, estimate in found.items():
        if estimate is None:
            assert expected[now] is None
            continue
        assert [getattr(estimate, n) for n in WHEN] == [getattr(expected[now], n) for n in WHEN]
        assert (estimate.depth == estimate.capture_ns // 10).all(), "true depth of the frame it describes"


def test_error_only_has_each_frame_at_once_from_a_memory_as_old_as_it_was(
    profile, make_engines, make_frames, replay
):
    frames = make_frames(TIMES)
    whole = replay(AsyncSource(make_engines(), profile, FreeRunning()), frames, ASKED)
    found = replay(AsyncSource(make_engines(), at_once(profile, slow=False), FreeRunning()), frames, TIMES)
    there = {now: estimate for now, estimate in found.items() if estimate is not None}
    assert all(estimate.capture_ns == estimate.available_ns == now for now, estimate in there.items())
    ages = [
        [e.capture_ns - e.memory_capture_ns for e in estimates.values() if e is not None]
        for estimates in (whole, found)
    ]
    assert min(ages[1]) > 0 and np.mean(ages[1]) == pytest.approx(np.mean(ages[0]), rel=0.2)


@pytest.mark.parametrize("path", ["slow", "fast"])
def test_error_only_of_one_path_is_its_own_depth_without_any_delay(
    path, profile, make_engines, make_frames, replay
):
    frames = make_frames(TIMES)
    source = SinglePathSource(path, make_engines(), at_once(profile, slow=True))
    number = make_engines().slow.run if path == "slow" else make_engines().single.run
    for index, estimate in enumerate(replay(source, frames, TIMES).values()):
        assert estimate.available_ns == estimate.capture_ns == TIMES[index]
        assert (estimate.depth == number(frames[index].image)).all()


def test_a_constant_latency_is_a_delay_and_no_error(make_frames, replay):
    late = {"latency_ms": 20e-6}
    frames = make_frames(TIMES)
    delayed = replay(make_source("foundation", "ideal", **late, treatment=DELAY_ONLY), frames, TIMES)
    assert delayed[10] is None and delayed[20].capture_ns == 0
    oracle = replay(make_source("oracle", **late, treatment=ERROR_ONLY), frames, TIMES)
    assert all(estimate.capture_ns == now for now, estimate in oracle.items())


def test_the_profile_keeps_what_is_not_taken_away(profile):
    for slow in (False, True):
        bare = at_once(profile, slow)
        zero = ("fast", "fast_contended", *(("slow", "slow_contended") if slow else ()))
        for name in LATENCIES:
            expected = (0,) if name in zero else getattr(profile, name).samples_ns
            assert getattr(bare, name).samples_ns == expected


def test_every_source_has_a_timeline():
    assert {d: timeline_of(d) for d in ("oracle", "async-odometry", "my_module:Model")} == {
        "oracle": "oracle",
        "async-odometry": "async",
        "my_module:Model": "foundation",
    }


def test_what_cannot_be_taken_apart_is_refused(make_frames):
    with pytest.raises(ValueError, match="unknown treatment 'half': choose one of whole, error only"):
        make_source("async", treatment="half")
    with pytest.raises(ValueError, match="use a latency profile on the simulated clock"):
        make_source("async", clock="wall", treatment=DELAY_ONLY)
    source = make_source("async", treatment=DELAY_ONLY)
    source.reset(0)
    with pytest.raises(ValueError, match="needs the true depth of each frame"):
        source.offer(type(make_frames([0])[0])(np.zeros((2, 2, 3), np.uint8), 0))
