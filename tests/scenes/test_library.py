"""Laws of scene names, splits and the cache; generation itself is replaced by a stand-in."""

from __future__ import annotations

import itertools
import json
import multiprocessing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from asyncmde_sim.scenes import library


@dataclass
class Stub:
    """A scene that costs nothing."""

    kind: str
    seed: int
    metadata: dict[str, Any] = field(default_factory=dict)

    def to_glb(self) -> bytes:
        return f"{self.kind} {self.seed}".encode()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ASYNCMDE_CACHE", str(tmp_path))
    monkeypatch.setattr(library, "generate_scene", lambda kind, seed, _: Stub(kind, seed, {"seed": seed}))
    return library.cache_dir()


def test_splits_share_no_seed() -> None:
    for a, b in itertools.combinations(library.SPLITS.values(), 2):
        assert a.stop <= b.start or b.stop <= a.start


def test_names_say_which_scene_they_are() -> None:
    names = [
        n
        for kind in ("flat", "hall")
        for split in library.SPLITS
        for difficulty in (0.0, 0.5, 0.83)
        for n in library.scene_names(kind, split, 3, difficulty)
    ]
    assert len({library.parse_name(n) for n in names}) == len(names) == 54
    assert library.parse_name("flat-train-0003") == library.GeneratedName("flat", "train", 3, 0.5)
    assert library.parse_name("hall-val-0000").seed == library.SPLITS["val"].start
    assert library.parse_name("flat-test-999999").seed == library.SPLITS["test"][-1]
    assert library.scene_names("flat", "val", 1, 0.83) == ["flat-val-0000-d83"]
    assert library.parse_name("flat-val-0000-d83").difficulty == 0.83


def test_a_scene_is_made_once_and_kept_with_its_sidecar(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = library.resolve_scene("hall-val-0002")
    assert path == cache / "hall-val-0002" / "hall-val-0002.glb"
    seed = library.SPLITS["val"][2]
    assert path.read_bytes() == f"hall {seed}".encode()
    sidecar = json.loads(path.with_suffix(".json").read_text())
    assert sidecar == {"name": "hall-val-0002", "split": "val", "seed": seed}
    monkeypatch.setattr(library, "generate_scene", lambda *_: pytest.fail("made twice"))
    assert library.resolve_scene("hall-val-0002") == path


def test_a_failure_in_the_middle_leaves_nothing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = library._write

    def fail_at_sidecar(path: Path, content: bytes) -> None:
        if path.suffix == ".json":
            raise OSError("disk full")
        write(path, content)

    monkeypatch.setattr(library, "_write", fail_at_sidecar)
    with pytest.raises(OSError, match="disk full"):
        library.resolve_scene("flat-val-0000")
    assert list(cache.iterdir()) == []
    monkeypatch.setattr(library, "_write", write)
    assert library.resolve_scene("flat-val-0000").is_file()


def test_the_loser_of_a_race_takes_the_winners_scene(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def made_by_another(kind: str, seed: int, difficulty: float) -> Stub:
        folder = cache / "flat-val-0001"
        folder.mkdir()
        (folder / "flat-val-0001.glb").write_bytes(b"winner")
        return Stub(kind, seed)

    monkeypatch.setattr(library, "generate_scene", made_by_another)
    assert library.resolve_scene("flat-val-0001").read_bytes() == b"winner"
    assert [p.name for p in cache.iterdir()] == ["flat-val-0001"]


def _resolve(name: str) -> bytes:
    return library.resolve_scene(name).read_bytes()


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="the stand-in needs fork")
def test_processes_may_make_the_same_scene_at_once(cache: Path) -> None:
    with multiprocessing.get_context("fork").Pool(4) as pool:
        results = pool.map(_resolve, ["flat-train-0000"] * 8, chunksize=1)
    assert len(set(results)) == 1
    assert [p.name for p in cache.iterdir()] == ["flat-train-0000"]


def test_a_cache_that_cannot_be_written_is_one_clear_error(cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / "flat-val-0003").write_text("in the way")
    with pytest.raises(OSError, match="cannot write the scene cache"):
        library.resolve_scene("flat-val-0003")


@pytest.mark.parametrize(
    "name",
    [
        "castle-val-0000",
        "flat-holdout-0000",
        "flat-val-1",
        "flat",
        "",
        "flat-val-00001x",
        "flat-val-0000-d101",
    ],
)
def test_unknown_names_are_told_what_exists(cache: Path, name: str) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match="flat-val-0000"):
        library.resolve_scene(name)


def test_paths_must_exist_and_be_meshes(tmp_path: Path) -> None:
    mesh = tmp_path / "scan.PLY"
    mesh.write_bytes(b"ply")
    assert library.resolve_scene(mesh) == mesh
    assert library.resolve_scene(str(mesh)) == mesh
    with pytest.raises(FileNotFoundError, match=r"missing\.glb"):
        library.resolve_scene(tmp_path / "missing.glb")
    text = tmp_path / "notes.txt"
    text.write_text("hello")
    with pytest.raises(ValueError, match="not a scene"):
        library.resolve_scene(text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("castle", "val", 1), "flat, hall"),
        (("flat", "dev", 1), "train, val, test"),
        (("flat", "val", 0), "between 1"),
    ],
)
def test_lists_of_names_refuse_what_does_not_exist(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        library.scene_names(*arguments)
