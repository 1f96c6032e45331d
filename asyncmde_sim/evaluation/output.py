"""The folder of a rollout's results."""

from __future__ import annotations

import inspect
import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from asyncmde_sim.depth.weights_folder import RELATIVE_STAND_IN, find_weights, is_ours
from asyncmde_sim.evaluation.config import EpisodeConfig, RolloutConfig
from asyncmde_sim.evaluation.records import write_json, write_table
from asyncmde_sim.evaluation.rollout import Results
from asyncmde_sim.files import files_sha256, sha256
from asyncmde_sim.runtime.engines import default_engine
from asyncmde_sim.runtime.engines.spec import parse_engine
from asyncmde_sim.runtime.own_model import find_class, is_own
from asyncmde_sim.runtime.registry import DEVICELESS, is_remote

FORMAT = "asyncmde-sim rollout"
FILES = (
    "config.json",
    "episodes.parquet",
    "steps.parquet",
    "summary.json",
    "video.mp4",
    "recording.rrd",
    "trace.parquet",
    "remote.json",
)


def check_folder(folder: Path, overwrite: bool = False) -> None:
    """Check that results can go into a folder, which need not exist yet; changes nothing.

    Raises:
        ValueError: It is not a folder, cannot be written, or holds other files and ``overwrite`` is false.
    """
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not nearest.is_dir():
        raise ValueError(f"cannot write results into {folder}: {nearest} is a file, give another --out")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise ValueError(
            f"cannot write results into {folder}: no permission for {nearest}, give another --out"
        )
    if folder.is_dir() and not overwrite and any(folder.iterdir()) and not _is_ours(folder):
        raise ValueError(f"{folder} holds other files: give another --out, or --overwrite to write there")


def open_folder(folder: Path, config: dict[str, Any]) -> None:
    """Make the folder, remove an earlier rollout's files from it and write ``config.json``.

    Raises:
        ValueError: It cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            (folder / name).unlink(missing_ok=True)
        write_json(config, folder / "config.json")
    except OSError as error:
        raise ValueError(
            f"cannot write results into {folder}: {error.strerror}, give another --out"
        ) from error


def discard_folder(folder: Path) -> None:
    """Take back ``open_folder``: remove its files, and the folder if it is empty then."""
    for name in ("config.json", "trace.parquet", "remote.json"):
        (folder / name).unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()


def write_results(results: Results, folder: Path) -> dict[str, Any]:
    """Write both tables and the summary, each whole or not at all; returns the summary."""
    summary = results.summary()
    write_table(results.episodes, folder / "episodes.parquet")
    write_table(results.steps, folder / "steps.parquet")
    write_json(summary, folder / "summary.json")
    return summary


def describe(config: RolloutConfig, robot: Any, weights: dict[str, Any] | None) -> dict[str, Any]:
    """Content of ``config.json``: resolved config, robot, weights (see ``weights_record``), versions."""
    packages = ("asyncmde-sim", "gymnasium", "numpy", "torch", "embreex", "trimesh")
    return {
        "format": FORMAT,
        "config": config.as_dict(),
        "robot": {
            "name": robot.name,
            "control_dt_ns": robot.control_dt_ns,
            "max_speed_mps": robot.max_speed_mps,
            "image_size": [robot.camera.width, robot.camera.height],
        },
        "weights": weights,
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
    }


def weights_record(config: EpisodeConfig) -> dict[str, Any] | None:
    """Name, engine and files (SHA-256) of the weights a source uses; None for one without networks here.

    Only ``foundation`` may use weights that are not ours: a model of the transformers library. A model of the
    user's own is named by the file of its class and, where they are files, its weights.

    Raises:
        FileNotFoundError: There are no such weights.
        ValueError: There is no such class.
    """
    if is_own(config.depth):
        named = [Path(inspect.getfile(find_class(config.depth))), Path(config.weights or "")]
        hashes = [files_sha256(path) for path in named if path.is_file() or (path.is_dir() and path.name)]
        return {
            "name": config.weights or config.depth,
            "engine": None,
            "sha256": {name: digest for files in hashes for name, digest in files.items()},
        }
    if config.depth in DEVICELESS or is_remote(config.depth):
        return None
    stand_in = config.weights == RELATIVE_STAND_IN
    ours = stand_in or config.weights is None or is_ours(config.weights)
    foreign = config.depth == "foundation" and not ours
    folder = Path(str(config.weights)) if foreign else find_weights(None if stand_in else config.weights)
    engine = config.engine or default_engine(config.weights)
    spec = parse_engine(engine)
    files = sorted(folder.glob("*.safetensors" if spec.library == "torch" else f"*.{spec.precision}.onnx"))
    return {
        "name": config.weights if foreign or stand_in else folder.name,
        "engine": engine,
        "sha256": {path.name: sha256(path) for path in files},
    }


def _is_ours(folder: Path) -> bool:
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and found.get("format") == FORMAT
