"""Recorded sequences of images, depth and poses: one form for every data set's layout."""

from asyncmde_sim.intrinsics import Intrinsics
from asyncmde_sim.recordings.layouts import open_recording
from asyncmde_sim.recordings.recording import RecordedFrame, Recording, UnreadableFrameError
from asyncmde_sim.recordings.tum import write_recording

__all__ = [
    "Intrinsics",
    "RecordedFrame",
    "Recording",
    "UnreadableFrameError",
    "open_recording",
    "write_recording",
]
