"""The ONNX files that ``scripts/export.py`` writes: their names, what they say of themselves, their inputs.

A file holds one network with static shapes for one image. It keeps nothing from frame to frame: the memory,
the smoothed trust and the last frame's features go in and come out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

from asyncmde_sim.runtime.engines.spec import Precision

FORMAT = 1
"""Counted up when an older reader would misread a newer file."""
METADATA_KEY = "asyncmde_sim"
LEVELS = 4
MEMORY = tuple(f"memory_{level}" for level in range(1, LEVELS + 1))
STATE = (*MEMORY, "trust", "previous_1", "previous_4")
"""What the fast path carries from frame to frame; as outputs, each with the prefix ``next_``."""

ExportedNetwork = Literal["slow", "slow-decoder", "fast", "fast-only"]
INPUTS: Mapping[ExportedNetwork, tuple[str, ...]] = {
    "slow": ("image",),
    "slow-decoder": MEMORY,
    "fast": ("image", *STATE),
    "fast-only": ("image",),
}
OUTPUTS: Mapping[ExportedNetwork, tuple[str, ...]] = {
    "slow": MEMORY,
    "slow-decoder": ("depth",),
    "fast": ("depth", *(f"next_{name}" for name in STATE), "current_trust"),
    "fast-only": ("depth",),
}


@dataclass(frozen=True)
class ExportMetadata:
    """What an exported file says of itself.

    Args:
        network: Which network it holds.
        precision: What it computes in; its inputs and outputs are float32 always.
        weights: Name of the weights.
        weights_sha256: Of the weights' file.
        height: Of the input image, pixels.
        width: Of the input image, pixels.
        focal: Focal length that the weights were trained for, as a share of the image's width.
        opset: Of the ONNX operators.
        format: See ``FORMAT``.
    """

    network: ExportedNetwork
    precision: Precision
    weights: str
    weights_sha256: str
    height: int
    width: int
    focal: float | None
    opset: int
    format: int = FORMAT

    def __post_init__(self) -> None:
        if self.network not in get_args(ExportedNetwork) or self.precision not in get_args(Precision):
            raise ValueError(f"there is no network {self.network!r} in {self.precision!r}")

    def as_text(self) -> str:
        """For the file's metadata, under ``METADATA_KEY``."""
        return json.dumps(asdict(self))


def onnx_file(folder: Path, network: ExportedNetwork, precision: Precision) -> Path:
    """Where the file of a network lies, beside the weights that it was made from."""
    return folder / f"{network}.{precision}.onnx"


def find_onnx_file(folder: Path, network: ExportedNetwork, precision: Precision) -> Path:
    """The file of a network.

    Raises:
        FileNotFoundError: There is none; the message says how to write it.
    """
    path = onnx_file(folder, network, precision)
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder} has no {path.name}: write it with "
            f"'python scripts/export.py --weights {folder} --precision {precision}'"
        )
    return path


def parse_metadata(
    properties: Mapping[str, str], path: Path, network: ExportedNetwork, precision: Precision
) -> ExportMetadata:
    """What a file says of itself, if it is what it should be.

    Args:
        properties: The file's metadata.
        path: Of the file, for errors.
        network: What it should hold.
        precision: What it should compute in.

    Raises:
        ValueError: It is not one of ours, of another format, or of another network or precision.
    """
    try:
        found = json.loads(properties[METADATA_KEY])
        file_format = found["format"]
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} was not written by scripts/export.py: use a file that was") from error
    if file_format != FORMAT:
        raise ValueError(
            f"{path} has the format {file_format!r}, but this version reads {FORMAT}: export it again"
        )
    metadata = ExportMetadata(**found)
    if (metadata.network, metadata.precision) != (network, precision):
        raise ValueError(
            f"{path} holds the network {metadata.network!r} in {metadata.precision}, but its name says "
            f"{network!r} in {precision}: export it again"
        )
    return metadata
