"""The depth source ``hil://host:port``: a device's depth, in lockstep or in real time."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from asyncmde_sim.hil import PORT
from asyncmde_sim.hil.link import Address
from asyncmde_sim.hil.lockstep import LockstepSource
from asyncmde_sim.hil.messages import DEPTH_ENCODINGS, IMAGE_ENCODINGS
from asyncmde_sim.hil.realtime import Options, RealTimeSource
from asyncmde_sim.runtime.latency import load_profile
from asyncmde_sim.runtime.refresh import parse_refresh
from asyncmde_sim.runtime.types import DepthSource
from asyncmde_sim.runtime.wall_clock import PacedSource, WallClock

FORM = "hil://HOST:PORT, with ?certificates=FOLDER, token=FILE, image=raw|jpeg, depth=raw|png16 where needed"


def parse_url(url: str, focal: float | None = None, weights: str | None = None) -> tuple[Address, Options]:
    """Where the device is and how to talk to it.

    Args:
        url: See ``FORM``.
        focal: See ``Options``.
        weights: Name or folder of the weights that the device must serve; None for any.

    Raises:
        ValueError: It is no such address.
    """
    parts = urlsplit(url)
    try:
        port = parts.port or PORT
    except ValueError as error:
        raise ValueError(f"{url!r} names no port ({error}): give {FORM}") from error
    if parts.scheme != "hil" or not parts.hostname or parts.path.strip("/") or parts.username:
        raise ValueError(f"{url!r} is no address of a depth device: give {FORM}")
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = set(given) - {"certificates", "token", "image", "depth"}
    if unknown:
        raise ValueError(f"{url!r} has the unknown option {min(unknown)!r}: give {FORM}")
    image, depth = given.get("image", "raw"), given.get("depth", "raw")
    if image not in IMAGE_ENCODINGS or depth not in DEPTH_ENCODINGS:
        raise ValueError(f"{url!r} has an encoding that there is not: give {FORM}")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    folder, token = given.get("certificates"), given.get("token")
    address = Address(
        f"{host}:{port}",
        None if folder is None else Path(folder).expanduser(),
        None if token is None else Path(token).expanduser(),
    )
    name = "" if weights is None else Path(weights).name
    return address, Options(IMAGE_ENCODINGS[image], DEPTH_ENCODINGS[depth], focal, name)


def remote_source(
    url: str, device: str, refresh: str, clock: str, weights: str | None, focal: float | None
) -> DepthSource:
    """The source behind an address; it connects at its first ``reset``.

    Args:
        url: See ``FORM``.
        device: ``measured`` charges what the device measures; a profile's name charges that instead.
        refresh: When the slow path starts.
        clock: ``simulated`` is lockstep; ``wall`` is real time, which charges what passes.
        weights: See ``parse_url``.
        focal: See ``parse_url``.

    Raises:
        ValueError: These do not go together.
    """
    address, options = parse_url(url, focal, weights)
    policy = parse_refresh(refresh)
    if clock == "simulated":
        profile = None if device == "measured" else load_profile(device)
        return LockstepSource(address, options, policy, profile)
    if device != "measured":
        raise ValueError(
            f"device is {device!r}, but on the wall clock a remote device takes the time that it takes: "
            "leave device out, or use the clock 'simulated'"
        )
    if refresh != "free":
        raise ValueError(
            f"refresh is {refresh!r}, but in real time the device's slow path starts whenever it is free: "
            "use 'free', or the clock 'simulated'"
        )
    wall = WallClock()
    return PacedSource(RealTimeSource(address, options, wall), wall)
