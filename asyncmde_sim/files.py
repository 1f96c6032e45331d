"""Files that are written whole or not at all, and what they hold."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any


def cache_root() -> Path:
    """Folder of what can be made again: ``$ASYNCMDE_CACHE``, or ``~/.cache/asyncmde-sim``."""
    root = os.environ.get("ASYNCMDE_CACHE")
    return Path(root) if root else Path.home() / ".cache" / "asyncmde-sim"


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


def sha256(path: Path) -> str:
    """SHA-256 of a file; read again only when its size or its time of change are others."""
    status = path.stat()
    return _sha256(path, status.st_size, status.st_mtime_ns)


def files_sha256(path: Path) -> dict[str, str]:
    """SHA-256 of a file, or of every file of a folder by its path in it."""
    if path.is_file():
        return {path.name: sha256(path)}
    return {str(p.relative_to(path)): sha256(p) for p in sorted(path.rglob("*")) if p.is_file()}


@lru_cache(maxsize=4096)
def _sha256(path: Path, size: int, changed_ns: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
