"""Scenes: their files, the generator, and the renderers behind one interface."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncmde_sim.scenes.backend import SceneBackend
    from asyncmde_sim.scenes.camera import Camera

BACKENDS = ("raycast", "habitat")
"""Their names; ``habitat@N`` renders on the CUDA device N, plain ``habitat`` on what EGL offers first."""
_BACKEND = re.compile(r"raycast|habitat(?:@(?P<gpu>-1|\d+))?")


def load_backend(
    scene: str, backend: str = "raycast", before: SceneBackend | None = None, restart: bool = False
) -> SceneBackend:
    """Load a scene, or return it if this process has used it lately.

    Args:
        scene: A name of the library (``flat-val-0003``), the path of a GLB, PLY or OBJ file, or, for the
            habitat backend, ``CONFIG:NAME`` with a scene dataset's config file and a scene of it.
        backend: ``"raycast"``, ``"habitat"`` or ``"habitat@N"``.
        before: What the caller used until now and needs no more: its worker process is used again.
        restart: Start another worker if that of ``before`` died, instead of raising its error again.

    Raises:
        FileNotFoundError: There is no such file, or no such interpreter for Habitat-Sim.
        ImportError: That interpreter has no Habitat-Sim.
        ValueError: There is no such backend or scene, or the file is not a usable mesh.
        OSError: Habitat-Sim cannot render here.
    """
    check_backend(backend, scene)
    if backend == "raycast":
        return _load(str(scene))
    from asyncmde_sim.scenes.habitat.backend import HabitatBackend

    return HabitatBackend.load(str(scene), gpu_device_id(backend), before, restart)


def check_backend(backend: str, scene: str | None = None, camera: Camera | None = None) -> None:
    """Check that there is such a backend, and that it can load the scene and render the camera, if given.

    Raises:
        FileNotFoundError: The scene's file does not exist.
        ValueError: One of the three is unknown or beyond the backend; the message says which and why.
    """
    if not _BACKEND.fullmatch(backend):
        raise ValueError(f"unknown backend {backend!r}: choose one of {', '.join(BACKENDS)} or habitat@0")
    if scene is not None:
        from asyncmde_sim.scenes.habitat.dataset import parse_dataset_scene
        from asyncmde_sim.scenes.library import resolve_scene

        if parse_dataset_scene(scene) is None:
            resolve_scene(scene)
        elif backend == "raycast":
            raise ValueError(f"scene {scene!r} is of a Habitat dataset: use backend habitat")
    if camera is not None and backend != "raycast":
        from asyncmde_sim.scenes.habitat.backend import check_camera

        check_camera(camera)


def gpu_device_id(backend: str) -> int:
    """The CUDA device in the name of a habitat backend; -1 if it names none."""
    match = _BACKEND.fullmatch(backend)
    return int(match["gpu"]) if match and match["gpu"] else -1


@lru_cache(maxsize=4)
def _load(scene: str) -> SceneBackend:
    from asyncmde_sim.scenes.raycast import RaycastBackend

    return RaycastBackend.load(scene)
