"""Saving and loading weights: a folder with ``config.json`` and one safetensors file a network.

``from_pretrained`` takes the name of shipped weights or a folder; a slow path may also be any transformers
Depth Anything model, by Hugging Face name or folder.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from asyncmde_sim.depth.fast_path import FastPath, FastPathWithoutMemory
from asyncmde_sim.depth.slow_path import ConvSlowPath, DepthAnythingSlowPath

SHIPPED_FOLDER = Path(__file__).parent / "weights"
DEFAULT_WEIGHTS = "asyncmde-indoor"
NETWORKS: Mapping[str, type[nn.Module]] = {
    "slow": ConvSlowPath,
    "fast": FastPath,
    "fast-only": FastPathWithoutMemory,
}


@dataclass(frozen=True)
class WeightsConfig:
    """What a folder of weights was made for.

    Args:
        name: Name of the weights.
        height: Image height of the networks' input, pixels.
        width: Image width of the networks' input, pixels.
        max_depth_m: Largest depth that they give.
        focal: Focal length of the camera that they were trained on, as a share of its image's width.
    """

    name: str
    height: int = 168
    width: int = 224
    max_depth_m: float = 20.0
    focal: float = 0.5

    def __post_init__(self) -> None:
        for key in ("height", "width"):
            if getattr(self, key) < 32:
                raise ValueError(f"{key} is {getattr(self, key)}, but the networks need at least 32 px")
        for key in ("max_depth_m", "focal"):
            if not getattr(self, key) > 0:
                raise ValueError(f"{key} is {getattr(self, key)}, but it must be positive")


def find_weights(name_or_folder: str | None) -> Path:
    """The folder of shipped weights or of the user's own; None is the default weights.

    Raises:
        FileNotFoundError: There is no such folder.
    """
    name = name_or_folder or DEFAULT_WEIGHTS
    for folder in (SHIPPED_FOLDER / name, Path(name)):
        if (folder / "config.json").is_file():
            return folder
    shipped = sorted(p.parent.name for p in SHIPPED_FOLDER.glob("*/config.json"))
    raise FileNotFoundError(
        f"no weights {name!r}: give a folder with a config.json, or one of the shipped {shipped}"
    )


def is_ours(name_or_folder: str) -> bool:
    """Whether weights are ours: a shipped name, or a folder whose config has no ``model_type``."""
    for folder in (SHIPPED_FOLDER / name_or_folder, Path(name_or_folder)):
        if (folder / "config.json").is_file():
            return "model_type" not in json.loads((folder / "config.json").read_text())
    return False


def read_config(folder: Path) -> WeightsConfig:
    """The config of a folder of weights.

    Raises:
        ValueError: The config is not one of ours.
    """
    path = folder / "config.json"
    try:
        return WeightsConfig(**json.loads(path.read_text()))
    except (json.JSONDecodeError, TypeError) as error:
        raise ValueError(
            f"{path} is not a config of depth weights ({error}): write it with save_network"
        ) from error


def save_network(model: nn.Module, network: str, folder: Path, config: WeightsConfig) -> None:
    """Write one network in half precision and the config, each whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {
        key: (value.half() if value.is_floating_point() else value).cpu().contiguous()
        for key, value in model.state_dict().items()
    }
    write_whole(folder / f"{network}.safetensors", lambda path: save_file(state, path))
    write_whole(
        folder / "config.json",
        lambda path: path.write_text(json.dumps(asdict(config), indent=2) + "\n"),
    )


def load_network(network: str, folder: Path) -> Any:
    """One of ``slow``, ``fast`` and ``fast-only`` from a folder of weights, in evaluation mode.

    Raises:
        FileNotFoundError: The folder has no such network.
        ValueError: The file is corrupt, or its weights do not fit the network.
    """
    config, path = read_config(folder), folder / f"{network}.safetensors"
    if not path.is_file():
        raise FileNotFoundError(f"{folder} has no {path.name}: train it, or use weights that have it")
    model = NETWORKS[network](max_depth_m=config.max_depth_m)
    try:
        wrong = model.load_state_dict(
            {k: v.float() if v.is_floating_point() else v for k, v in load_file(path).items()}, strict=False
        )
    except SafetensorError as error:
        raise ValueError(f"{path} is corrupt ({error}): fetch or train it again") from error
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise ValueError(f"{path} does not fit the {network} network: {first}") from error
    for what, keys in (("lacks", wrong.missing_keys), ("has unknown", wrong.unexpected_keys)):
        if keys:
            raise ValueError(
                f"{path} does not fit the {network} network: it {what} {len(keys)} weights, the first is "
                f"{keys[0]!r}; use the file of this network"
            )
    return model.eval().requires_grad_(False)


def load_depth_anything(name_or_folder: str) -> DepthAnythingSlowPath:
    """A transformers Depth Anything model as a slow path.

    Raises:
        ModuleNotFoundError: transformers is not installed.
        ValueError: There is no such model, or it does not fit the memory.
    """
    try:
        from transformers import AutoModelForDepthEstimation
    except ImportError as error:
        raise ModuleNotFoundError(
            "Depth Anything models need transformers: pip install 'asyncmde-sim[transformers]'"
        ) from error
    try:
        model = AutoModelForDepthEstimation.from_pretrained(name_or_folder)
    except OSError as error:
        raise ValueError(
            f"{name_or_folder!r} is no Depth Anything model that can be loaded: {error}"
        ) from error
    return DepthAnythingSlowPath(model).eval().requires_grad_(False)


def write_whole(path: Path, write: Callable[[Path], Any]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, then put it in its place in one go."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_unfinished(path: Path) -> None:
    """Remove what processes that were killed in ``write_whole`` left beside ``path``."""
    for left in path.parent.glob(f".{path.stem}-{8 * '?'}{path.suffix}"):
        left.unlink(missing_ok=True)
