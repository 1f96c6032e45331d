"""In lockstep a device is the local source with the device's own durations, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from asyncmde_sim.hil import device_pb2 as pb
from asyncmde_sim.hil.link import DeviceError
from asyncmde_sim.hil.realtime import Options
from asyncmde_sim.runtime import Frame, load_profile, make_source, parse_refresh
from asyncmde_sim.runtime.async_sources import AsyncSource
from asyncmde_sim.runtime.sources import close_source
from asyncmde_sim.runtime.trace import LatencyTrace

STEP_NS = 16_666_667


def same(a, b):
    """Whether two estimates are equal to the bit."""
    if a is None or b is None:
        return a is b
    times = ("capture_ns", "available_ns", "memory_capture_ns", "refresh_landed_ns")
    return (
        np.array_equal(a.depth, b.depth)
        and np.array_equal(a.trust, b.trust)
        and all(getattr(a, name) == getattr(b, name) for name in times)
    )


def compare(local, remote, frames, seed=3):
    """Feed both the same frames; the number of estimates, all of which must be equal."""
    local.reset(seed)
    remote.reset(seed)
    answers = 0
    for frame in frames:
        local.offer(frame)
        remote.offer(frame)
        a, b = local.newest(frame.time_ns), remote.newest(frame.time_ns)
        assert same(a, b)
        assert local.counts == remote.counts
        answers += a is not None
    return answers


@pytest.mark.parametrize("refresh", ["free", "every-4"])
@pytest.mark.parametrize("device", ["ideal", "orin-trt", "orin-torch-contended"])
def test_a_charged_profile_gives_the_local_source(
    device, refresh, make_engines, make_device, lockstep, frame
):
    profile = load_profile(device)
    local = AsyncSource(make_engines(), profile, parse_refresh(refresh))
    remote = lockstep(make_device(make_engines()).address, profile, refresh)
    frames = [frame(number, number * STEP_NS) for number in range(60)]
    for seed in (1, 2):
        assert compare(local, remote, frames, seed) > 30


def test_without_latency_the_networks_on_a_device_give_the_local_source_bit_for_bit(make_device):
    device = make_device()
    rng = np.random.default_rng(0)
    frames = [Frame(rng.integers(0, 256, (96, 128, 3), dtype=np.uint8), n * STEP_NS) for n in range(5)]
    local, remote = (make_source(name, "ideal", focal=0.61) for name in ("async", device.url))
    assert compare(local, remote, frames) == 5
    close_source(remote)


def test_what_was_measured_is_charged_and_a_trace_of_it_gives_the_same(
    make_engines, make_device, lockstep, frame, tmp_path
):
    remote = lockstep(make_device(make_engines(sleep_s=0.004)).address)
    frames = [frame(number, number * 1_000_000) for number in range(80)]
    remote.trace.open(tmp_path / "trace.parquet", {})
    taken = []
    for seed in (5, 6):
        remote.reset(seed)
        for one in frames:
            remote.offer(one)
            taken.append((remote.newest(one.time_ns), remote.counts))
    assert max(e.available_ns - e.capture_ns for e, _ in taken if e is not None) >= 4_000_000
    remote.close()
    timing = load_trace(tmp_path / "trace.parquet")
    assert [len(episode) for episode in timing.episodes] == [80, 80]
    local = AsyncSource(make_engines(), timing, parse_refresh("free"))
    again = []
    for seed in (5, 6):
        local.reset(seed)
        for one in frames:
            local.offer(one)
            again.append((local.newest(one.time_ns), local.counts))
    assert all(same(a, b) and m == n for (a, m), (b, n) in zip(taken, again, strict=True))
    assert any(a is not None for a, _ in taken)


def load_trace(path) -> LatencyTrace:
    from asyncmde_sim.runtime.replay import load_timing

    return load_timing(str(path))


def test_the_other_path_runs_beside_where_the_schedule_has_it(make_engines, make_device, lockstep, frame):
    engines = make_engines(sleep_s=0.002)
    remote = lockstep(make_device(engines).address)
    remote.reset(0)
    for number in range(1, 20):
        remote.offer(frame(number))
        remote.newest(number * 10**6)
    asked = remote.totals.opened
    assert len(engines.ran) > asked


def test_depth_in_millimetres_is_that(make_engines, make_device, lockstep, frame):
    remote = lockstep(
        make_device(make_engines()).address, load_profile("ideal"), options=Options(pb.RAW, pb.PNG16)
    )
    remote.reset(0)
    remote.offer(frame(1))
    assert np.allclose(remote.newest(10**6).depth, 0.5 * 10 - 0.25 + 1, atol=5e-4)


def test_an_episode_starts_with_nothing_of_the_last(make_engines, make_device, lockstep, frame):
    remote = lockstep(make_device(make_engines()).address, load_profile("ideal"))
    remote.reset(0)
    for number in (7, 8, 9):
        remote.offer(frame(number))
        remote.newest(number * 10**6)
    remote.reset(0)
    assert remote.newest(0) is None
    remote.offer(frame(1))
    first = remote.newest(10**6)
    fresh = AsyncSource(make_engines(), load_profile("ideal"), parse_refresh("free"))
    fresh.reset(0)
    fresh.offer(frame(1))
    assert same(first, fresh.newest(10**6))


def test_an_engine_that_always_fails_ends_in_one_sentence(
    make_engines, make_device, lockstep, frame, monkeypatch
):
    engines = make_engines()

    def fail(*_):
        raise MemoryError("no more memory on the device")

    monkeypatch.setattr(type(engines.slow), "memory", fail)
    remote = lockstep(make_device(engines).address)
    remote.reset(0)
    remote.offer(frame(1))
    with pytest.raises(DeviceError, match=r"failed 3 times .* no more memory on the device"):
        remote.newest(10**6)
    assert remote.totals.lost == 3 and remote.totals.open == 0


def test_a_device_that_comes_back_is_given_its_memory_again(
    make_engines, make_device, lockstep, frame, until
):
    engines = make_engines()
    device = make_device(engines)
    remote = lockstep(device.address, load_profile("orin-trt"))
    local = AsyncSource(make_engines(), load_profile("orin-trt"), parse_refresh("free"))
    for source in (local, remote):
        source.reset(0)
    for number in range(60):
        one = frame(number, number * STEP_NS)
        if number == 20:
            device.stop()
            device.start()
            until(lambda: remote.link.sessions == 2 and remote.link.up)
        local.offer(one)
        remote.offer(one)
        a, b = local.newest(one.time_ns), remote.newest(one.time_ns)
        assert (a is None) == (b is None)
        if a is not None:
            assert (a.capture_ns, a.available_ns, a.memory_capture_ns) == (
                b.capture_ns,
                b.available_ns,
                b.memory_capture_ns,
            )
    assert same(a, b) or remote.link.sessions == 2
    totals = remote.totals
    assert totals.delivered + totals.lost == totals.opened
