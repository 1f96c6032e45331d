"""What a depth source computes with: one interface, an engine for each library.

Images are (H, W, 3) uint8; memory and state are opaque here.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.depth.weights_folder import find_weights, is_ours
from asyncmde_sim.intrinsics import Intrinsics
from asyncmde_sim.runtime.engines.onnx_file import INPUTS, onnx_file
from asyncmde_sim.runtime.engines.spec import parse_engine

Image = NDArray[np.uint8]
Depth = NDArray[np.float32]
Rotation = NDArray[np.float64]
"""3x3, takes a direction in the present camera to the same direction in the earlier one."""


class SlowEngine(Protocol):
    """The slow path."""

    def run(self, image: Image) -> Depth:
        """Depth (H, W) float32 m of the image."""
        ...

    def memory(self, image: Image) -> Any:
        """The memory that a refresh from the image writes; nothing is decoded."""
        ...

    def depth_and_memory(self, image: Image) -> tuple[Depth, Any]:
        """What ``run`` and ``memory`` give, computed together."""
        ...


class RelativeEngine(Protocol):
    """A slow path that gives inverse depth up to an unknown scale and shift; see ``runtime.alignment``."""

    def run(self, image: Image) -> Depth:
        """Relative depth (H, W) float32 of the image, larger is nearer."""
        ...


class FastEngine(Protocol):
    """The fast path with its spatial memory."""

    def run(self, image: Image, state: Any) -> tuple[Depth, Any, NDArray[np.float32]]:
        """Depth (H, W) float32 m, the next state, and the trust T (h, w) float32 of level 1."""
        ...

    def remember(self, image: Image, state: Any) -> Any:
        """The next state alone; nothing is decoded."""
        ...

    def refreshed(self, state: Any, memory: Any) -> Any:
        """``state`` (None: nothing yet) with its memory overwritten by ``memory``."""
        ...

    def turned(self, state: Any, rotation: Rotation, camera: Intrinsics) -> Any:
        """``state`` after the camera has turned; see ``asyncmde_sim.depth.turning.Turn``."""
        ...

    def turned_memory(self, memory: Any, rotation: Rotation, camera: Intrinsics) -> Any:
        """The same for a memory that is not yet in the state."""
        ...


class SingleEngine(Protocol):
    """The fast path without memory."""

    def run(self, image: Image) -> Depth:
        """Depth (H, W) float32 m of the image."""
        ...


class Engines(Protocol):
    """The three engines of one set of weights."""

    @property
    def slow(self) -> SlowEngine: ...

    @property
    def fast(self) -> FastEngine: ...

    @property
    def single(self) -> SingleEngine: ...


class ModelEngines(Engines, Protocol):
    """Engines whose slow path may be relative; then ``slow``, ``fast`` and ``single`` refuse."""

    @property
    def relative(self) -> RelativeEngine: ...


@lru_cache(maxsize=4)
def load_engines(weights: str | None, focal: float | None = None, engine: str | None = None) -> ModelEngines:
    """The engines of a set of weights for a camera, kept for the process.

    Args:
        weights: Name of shipped weights, or a folder; None for the weights shipped. Under torch also, for the
            slow path alone, the Hugging Face name or folder of a transformers Depth Anything model, or
            ``relative-stand-in``.
        focal: Focal length of the camera as a share of the image's width; None for that of the weights.
        engine: See ``spec.parse_engine``; None for ``default_engine``.

    Raises:
        ValueError: There is no such engine, or ``focal`` is not positive.
    """
    spec = parse_engine(engine or default_engine(weights))
    if spec.library == "torch":
        import torch

        from asyncmde_sim.runtime.engines.torch_engine import TorchEngines

        return TorchEngines(weights, focal, torch.device(spec.processor))
    if spec.library == "tensorrt":
        from asyncmde_sim.runtime.engines.tensorrt_engine import TensorRtEngines

        return TensorRtEngines(weights, focal, spec=spec)
    from asyncmde_sim.runtime.engines.onnx_engine import OnnxEngines

    return OnnxEngines(weights, focal, spec=spec)


def default_engine(weights: str | None) -> str:
    """``onnx-int8`` for weights that come with its files, as the shipped ones do; else ``torch``."""
    if weights is not None and not is_ours(weights):
        return "torch"
    folder = find_weights(weights)
    there = all(onnx_file(folder, network, "int8").is_file() for network in INPUTS)
    return "onnx-int8" if there else "torch"


class LazyEngines:
    """Loads the engines of a set of weights when one is first needed; a pickle carries only the name.

    Args:
        weights: See ``load_engines``.
        focal: Focal length of the camera as a share of the image's width; None for that of the weights.
        engine: See ``load_engines``.
    """

    def __init__(
        self, weights: str | None = None, focal: float | None = None, engine: str | None = None
    ) -> None:
        self._arguments = weights, focal, engine
        self._loaded: ModelEngines | None = None

    def _load(self) -> ModelEngines:
        if self._loaded is None:
            self._loaded = load_engines(*self._arguments)
        return self._loaded

    @property
    def slow(self) -> SlowEngine:
        """The slow path."""
        return self._load().slow

    @property
    def relative(self) -> RelativeEngine:
        """The slow path of a relative model."""
        return self._load().relative

    @property
    def fast(self) -> FastEngine:
        """The fast path with its spatial memory."""
        return self._load().fast

    @property
    def single(self) -> SingleEngine:
        """The fast path without memory."""
        return self._load().single

    def __getstate__(self) -> dict[str, Any]:
        return {"_arguments": self._arguments, "_loaded": None}
