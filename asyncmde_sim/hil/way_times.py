"""How long the way to a device takes, frame by frame."""

from __future__ import annotations

import queue
import time
from dataclasses import dataclass

import numpy as np

from asyncmde_sim.hil import device_pb2 as pb
from asyncmde_sim.hil.link import Address, DeviceError, Link, NoListener
from asyncmde_sim.hil.messages import decode_depth, encode_image
from asyncmde_sim.hil.realtime import Options
from asyncmde_sim.hil.trial import ANSWER_S, noise_images


@dataclass(frozen=True)
class WayTimes:
    """Times of single frames, one after the other, seconds each.

    Args:
        whole: From before encoding to after decoding.
        fast: The fast path's runs, by the device.
        slow: The slow path's runs.
        frames_per_s: Frames a second with this one at a time.
    """

    whole: list[float]
    fast: list[float]
    slow: list[float]
    frames_per_s: float

    @property
    def overhead(self) -> list[float]:
        """Whole without the fast path's run: encoding, both ways, decoding."""
        return [whole - fast for whole, fast in zip(self.whole, self.fast, strict=True)]


class _Recorded(NoListener):
    """Answers with the time at which they were decoded."""

    def __init__(self) -> None:
        self.answers: queue.Queue[tuple[float, pb.Answer] | str] = queue.Queue()

    def answered(self, answer: pb.Answer) -> None:
        if answer.HasField("depth"):
            decode_depth(answer.depth)
            decode_depth(answer.trust)
        self.answers.put((time.perf_counter(), answer))

    def disconnected(self, reason: str) -> None:
        self.answers.put(reason)


def time_way(address: Address, options: Options, size: tuple[int, int], frames: int) -> WayTimes:
    """Send frames in lockstep, each after the last one's answer; the slow path runs on every tenth.

    Args:
        address: The device.
        options: How to send.
        size: Height and width of the images.
        frames: How many are timed, after ten that are not.

    Raises:
        DeviceError: The device does not answer.
    """
    heard = _Recorded()
    link = Link(address, options.hello(pb.LOCKSTEP), heard)
    link.start()
    images = noise_images(size)
    whole, fast, slow = [], [], []
    number = 0

    def ask(path: pb.Path, image: np.ndarray, refresh: int = 0) -> tuple[float, pb.Answer]:
        nonlocal number
        number += 1
        start = time.perf_counter()
        run = pb.RunRequest(path=path, refresh=refresh)
        message = pb.ToDevice(frame=pb.Frame(id=number, run=run))
        encode_image(image, options.image_encoding, message.frame.image)
        link.send(message)
        answer = heard.answers.get(timeout=ANSWER_S)
        if isinstance(answer, str):
            raise DeviceError(f"the device left in the middle of the measurement: {answer}")
        return answer[0] - start, answer[1]

    try:
        begun = time.perf_counter()
        for index in range(-10, frames):
            if index == 0:
                begun = time.perf_counter()
            refresh = 0
            if index % 10 == 0:
                _, answer = ask(pb.SLOW, images[index % len(images)])
                slow.append((answer.slow.end_ns - answer.slow.start_ns) / 1e9)
                refresh = number
            taken, answer = ask(pb.FAST, images[index % len(images)], refresh)
            if index >= 0:
                whole.append(taken)
                fast.append((answer.fast.end_ns - answer.fast.start_ns) / 1e9)
        return WayTimes(whole, fast, slow, frames / (time.perf_counter() - begun))
    finally:
        link.close()
