"""Scenes: their files, the generator, and the renderers behind one interface."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncmde_sim.scenes.backend import SceneBackend

BACKENDS = ("raycast",)


def load_backend(scene: str, backend: str = "raycast") -> SceneBackend:
    """Load a scene, or return it if this process has used it lately.

    Args:
        scene: A name of the library (``flat-val-0003``) or the path of a GLB, PLY or OBJ file.
        backend: ``"raycast"``.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: There is no such backend or scene, or the file is not a usable mesh.
    """
    if backend not in BACKENDS:
        raise ValueError(f"there is no scene backend {backend!r}: use one of {', '.join(BACKENDS)}")
    return _load(str(scene))


@lru_cache(maxsize=4)
def _load(scene: str) -> SceneBackend:
    from asyncmde_sim.scenes.raycast import RaycastBackend

    return RaycastBackend.load(scene)
