"""Metres for a depth model that gives relative depth, from what a robot has.

A relative model (MiDaS, arXiv 1907.01341; the general weights of Depth Anything V2, arXiv 2406.09414) gives
inverse depth up to a scale and a shift that differ from frame to frame: 1 / z = scale * relative + shift. An
alignment finds both for each frame, from the height of the camera over the floor that it sees
(``FloorAlignment``), from a few range readings (``RangeAlignment``) or from the way it has moved
(``OdometryAlignment``). Your own is any object with the methods of ``Alignment``.

All three hold the last good fit through frames that tell too little, and give no depth before the first.
"""

from __future__ import annotations

from collections.abc import Callable

from asyncmde_sim.runtime.alignment.fitted import Alignment, FittedAlignment
from asyncmde_sim.runtime.alignment.floor import FloorAlignment
from asyncmde_sim.runtime.alignment.odometry import OdometryAlignment
from asyncmde_sim.runtime.alignment.ranges import RangeAlignment

__all__ = [
    "ALIGNMENTS",
    "Alignment",
    "FittedAlignment",
    "FloorAlignment",
    "OdometryAlignment",
    "RangeAlignment",
    "make_alignment",
]

ALIGNMENTS: dict[str, Callable[[], FittedAlignment]] = {
    "floor": FloorAlignment,
    "ranges": RangeAlignment,
    "odometry": OdometryAlignment,
}


def make_alignment(name: str) -> FittedAlignment:
    """An alignment by name.

    Raises:
        ValueError: There is none of this name; the message says which there are.
    """
    if name not in ALIGNMENTS:
        raise ValueError(f"unknown alignment {name!r}: choose one of {', '.join(ALIGNMENTS)}")
    return ALIGNMENTS[name]()
