"""Scene names, splits that never overlap, and the cache of generated scenes."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import tempfile
from pathlib import Path

from asyncmde_sim.scenes.generate import KINDS, VERSION, generate_scene

SPLITS: dict[str, range] = {
    "train": range(0, 1_000_000),
    "val": range(1_000_000, 2_000_000),
    "test": range(2_000_000, 3_000_000),
}
"""Seeds of each split; no seed belongs to two."""

SUFFIXES = (".glb", ".ply", ".obj")
_NAME = re.compile(r"(?P<kind>[a-z]+)-(?P<split>[a-z]+)-(?P<index>\d{4,6})")


def cache_dir() -> Path:
    """Folder of generated scenes: ``$ASYNCMDE_CACHE``, or ``~/.cache/asyncmde-sim/scenes``, by version."""
    root = os.environ.get("ASYNCMDE_CACHE")
    base = Path(root) if root else Path.home() / ".cache" / "asyncmde-sim" / "scenes"
    return base / f"v{VERSION}"


def scene_names(kind: str, split: str, count: int) -> list[str]:
    """The first ``count`` scene names of a split, such as ``flat-train-0003``.

    Raises:
        ValueError: The kind or split is unknown, or the count outside the split.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown scene kind {kind!r}: choose one of {', '.join(KINDS)}")
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}: choose one of {', '.join(SPLITS)}")
    if not 1 <= count <= len(SPLITS[split]):
        raise ValueError(f"count is {count}, but a split has between 1 and {len(SPLITS[split])} scenes")
    return [f"{kind}-{split}-{i:04d}" for i in range(count)]


def parse_name(name: str) -> tuple[str, str, int]:
    """Kind, split and seed of a generated scene's name.

    Raises:
        ValueError: The name is none; the message says which exist.
    """
    match = _NAME.fullmatch(name)
    if not match or match["kind"] not in KINDS or match["split"] not in SPLITS:
        raise ValueError(
            f"unknown scene {name!r}: use <kind>-<split>-<number> such as flat-val-0000, with kind "
            f"{' or '.join(KINDS)} and split {', '.join(SPLITS)}, or a path to a {', '.join(SUFFIXES)} file"
        )
    return match["kind"], match["split"], SPLITS[match["split"]][int(match["index"])]


def resolve_scene(name_or_path: str | Path) -> Path:
    """The mesh file of a scene; a generated one is made and cached when it is not there yet.

    Raises:
        ValueError: The name is unknown, or the file has a suffix that cannot be read.
        FileNotFoundError: The path does not exist.
    """
    path = Path(name_or_path)
    looks_like_path = path.suffix != "" or len(path.parts) > 1
    if looks_like_path:
        if not path.is_file():
            raise FileNotFoundError(f"no scene file at {path}: give an existing {', '.join(SUFFIXES)} file")
        if path.suffix.lower() not in SUFFIXES:
            raise ValueError(f"{path} is not a scene: use a {', '.join(SUFFIXES)} file")
        return path
    name = str(name_or_path)
    kind, split, seed = parse_name(name)
    folder = cache_dir() / name
    mesh = folder / f"{name}.glb"
    if not mesh.is_file():
        _make(folder, name, kind, split, seed)
    return mesh


def _write(path: Path, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _make(folder: Path, name: str, kind: str, split: str, seed: int) -> None:
    """Make a scene in a folder of its own and move it into place as a whole.

    Processes that make the same scene at once make the same bytes; the first to finish wins.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=folder.parent))
    try:
        work.chmod(0o755)
        scene = generate_scene(kind, seed)
        sidecar = json.dumps({"name": name, "split": split, **scene.metadata}, indent=1)
        _write(work / f"{name}.glb", scene.to_glb())
        _write(work / f"{name}.json", sidecar.encode())
        with contextlib.suppress(OSError):
            os.rename(work, folder)
        if not (folder / f"{name}.glb").is_file():
            raise OSError(f"cannot write the scene cache at {folder}: check its permissions and free space")
    finally:
        shutil.rmtree(work, ignore_errors=True)
