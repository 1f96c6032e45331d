"""Saving and loading weights: a folder with ``config.json`` and one safetensors file a network.

``from_pretrained`` takes the name of shipped weights or a folder; a slow path may also be any transformers
Depth Anything model, by Hugging Face name or folder.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from asyncmde_sim.depth.fast_path import FastPath, FastPathWithoutMemory
from asyncmde_sim.depth.slow_path import ConvSlowPath, DepthAnythingSlowPath
from asyncmde_sim.depth.weights_folder import WeightsConfig, read_config
from asyncmde_sim.files import write_whole

NETWORKS: Mapping[str, type[nn.Module]] = {
    "slow": ConvSlowPath,
    "fast": FastPath,
    "fast-only": FastPathWithoutMemory,
}


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
