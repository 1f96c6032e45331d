"""Which library runs the networks, in which precision, on which processor."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

Library = Literal["torch", "onnx", "tensorrt"]
Precision = Literal["fp32", "fp16", "int8"]
Processor = Literal["cpu", "cuda", "tensorrt", "any"]

EXPORTED_PRECISIONS: tuple[Precision, ...] = get_args(Precision)
"""The precisions that ``scripts/export.py`` writes."""


@dataclass(frozen=True)
class EngineSpec:
    """An inference engine.

    Args:
        library: ``torch`` runs the weights themselves; ``onnx`` (ONNX Runtime) and ``tensorrt`` run the files
            that ``scripts/export.py`` wrote beside them.
        precision: Of the exported file; None under torch, which takes half precision where the processor
            computes in it.
        processor: ``cpu`` or ``cuda``; under ONNX Runtime also its ``tensorrt`` provider, or ``any``: the
            fastest that is there.

    Raises:
        ValueError: The three do not go together.
    """

    library: Library = "torch"
    precision: Precision | None = None
    processor: Processor = "cpu"

    def __post_init__(self) -> None:
        if (self.precision is None) != (self.library == "torch"):
            raise ValueError(
                f"the engine {self.library!r} has the precision {self.precision!r}, but torch takes none, "
                f"and onnx and tensorrt need one of {', '.join(EXPORTED_PRECISIONS)}"
            )
        processors = {"torch": ("cpu", "cuda"), "onnx": get_args(Processor), "tensorrt": ("cuda",)}
        if self.processor not in processors[self.library]:
            raise ValueError(
                f"the engine {self.library!r} does not run on {self.processor!r}: choose one of "
                f"{', '.join(processors[self.library])}"
            )


def parse_engine(text: str) -> EngineSpec:
    """The engine that ``LIBRARY[-PRECISION][@PROCESSOR]`` names, such as ``torch``, ``torch@cuda``,
    ``onnx-int8``, ``onnx-fp16@cuda`` or ``tensorrt-fp16``.

    Raises:
        ValueError: It names none.
    """
    match = re.fullmatch(r"(torch|onnx|tensorrt)(?:-(fp32|fp16|int8))?(?:@(cpu|cuda|tensorrt|any))?", text)
    if match is None:
        raise ValueError(
            f"unknown engine {text!r}: give torch, onnx-fp32, onnx-fp16 or onnx-int8, and where it "
            "does not run on the CPU also @cuda, @tensorrt or @any; or tensorrt-fp16, tensorrt-fp32"
        )
    library, precision, processor = match.groups()
    return EngineSpec(library, precision, processor or ("cuda" if library == "tensorrt" else "cpu"))  # type: ignore[arg-type]
