"""A device in use for a minute; ``scripts/hil.py check --soak-s`` runs for as long as one likes."""

from __future__ import annotations

from asyncmde_sim.hil.realtime import Options
from asyncmde_sim.hil.soak import soak

RATE_HZ = 30.0
SIZE = (96, 128)
LEAK_BYTES = 20e6
"""Keeping the images or the depths (49 kB) of the minute's last three quarters would take 50 MB or more."""


def test_a_minute_in_use_grows_neither_memory_nor_handles(big_engines, make_device):
    device = make_device(big_engines())
    report = soak(device.address, Options(), SIZE, 60.0, RATE_HZ)
    assert report.sums_agree and report.totals.lost == 0
    assert report.totals.delivered > 30 * RATE_HZ
    (memory, memory_in_the_end), (handles, handles_in_the_end) = report.memory_bytes, report.handles
    assert memory_in_the_end - memory < LEAK_BYTES
    assert handles_in_the_end <= handles
