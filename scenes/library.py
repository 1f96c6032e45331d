"""Scene names, splits that never overlap, and the cache of generated scenes."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from asyncmde_sim.files import cache_root
from asyncmde_sim.scenes.generate import KINDS, VERSION, generate_scene

SPLITS: dict[str, range] = {
    "train": range(0, 1_000_000),
    "val": range(1_000_000, 2_000_000),
    "test": range(2_000_000, 3_000_000),
}
"""Seeds of each split; no seed belongs to two."""

SUFFIXES = (".glb", ".ply", ".obj")
DIFFICULTY = 0.5
"""Density of clutter where a name gives none."""
_NAME = re.compile(r"(?P<kind>[a-z]+)-(?P<split>[a-z]+)-(?P<index>\d{4,6})(?:-d(?P<percent>\d{1,3}))?")


@dataclass(frozen=True)
class GeneratedName:
    """What the name of a generated scene says, such as ``flat-val-0003`` or ``hall-test-0010-d80``.

    Args:
        kind: Kind of scene.
        split: Split of the library.
        seed: Seed of the generator, of that split alone.
        difficulty: Density of clutter, 0 to 1; ``-d80`` in a name is 0.8, none is 0.5.
    """

    kind: str
    split: str
    seed: int
    difficulty: float


def cache_dir() -> Path:
    """Folder of generated scenes in the cache, by version."""
    return cache_root() / "scenes" / f"v{VERSION}"


def scene_names(kind: str, split: str, count: int, difficulty: float = DIFFICULTY) -> list[str]:
    """The first ``count`` scene names of a split, such as ``flat-train-0003``.

    ``difficulty``, 0 to 1, is the density of clutter, to the next hundredth.

    Raises:
        ValueError: The kind or split is unknown, or the count or difficulty out of range.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown scene kind {kind!r}: choose one of {', '.join(KINDS)}")
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}: choose one of {', '.join(SPLITS)}")
    if not 1 <= count <= len(SPLITS[split]):
        raise ValueError(f"count is {count}, but a split has between 1 and {len(SPLITS[split])} scenes")
    if not 0 <= difficulty <= 1:
        raise ValueError(f"difficulty is {difficulty}, but it must lie in [0, 1]")
    percent = round(100 * difficulty)
    suffix = "" if percent == round(100 * DIFFICULTY) else f"-d{percent}"
    return [f"{kind}-{split}-{i:04d}{suffix}" for i in range(count)]


def parse_name(name: str) -> GeneratedName:
    """What a generated scene's name says.

    Raises:
        ValueError: The name is none; the message says which exist.
    """
    match = _NAME.fullmatch(name)
    percent = round(100 * DIFFICULTY) if not match or match["percent"] is None else int(match["percent"])
    if not match or match["kind"] not in KINDS or match["split"] not in SPLITS or percent > 100:
        raise ValueError(
            f"unknown scene {name!r}: use <kind>-<split>-<number> such as flat-val-0000, with kind "
            f"{' or '.join(KINDS)} and split {', '.join(SPLITS)}, at will with -d0 to -d100 for the density "
            f"of clutter, or a path to a {', '.join(SUFFIXES)} file"
        )
    seed = SPLITS[match["split"]][int(match["index"])]
    return GeneratedName(match["kind"], match["split"], seed, percent / 100)


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
    parsed = parse_name(name)
    folder = cache_dir() / name
    mesh = folder / f"{name}.glb"
    if not mesh.is_file():
        _make(folder, name, parsed)
    return mesh


def _write(path: Path, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _make(folder: Path, name: str, parsed: GeneratedName) -> None:
    """Make a scene in a folder of its own and move it into place as a whole.

    Processes that make the same scene at once make the same bytes; the first to finish wins.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=folder.parent))
    try:
        work.chmod(0o755)
        scene = generate_scene(parsed.kind, parsed.seed, parsed.difficulty)
        sidecar = json.dumps({"name": name, "split": parsed.split, **scene.metadata}, indent=1)
        _write(work / f"{name}.glb", scene.to_glb())
        _write(work / f"{name}.json", sidecar.encode())
        with contextlib.suppress(OSError):
            os.rename(work, folder)
        if not (folder / f"{name}.glb").is_file():
            raise OSError(f"cannot write the scene cache at {folder}: check its permissions and free space")
    finally:
        shutil.rmtree(work, ignore_errors=True)
