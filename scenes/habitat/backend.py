"""The ``habitat`` backend: Habitat-Sim's images and navigation mesh, the rest by the same mesh here."""

from __future__ import annotations

import base64
import hashlib
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray
from scipy import ndimage

from asyncmde_sim.scenes import load_backend
from asyncmde_sim.scenes.backend import DistanceField, Mover, Rendering, RobotBody, SceneBackend
from asyncmde_sim.scenes.camera import Camera, RigidMotion
from asyncmde_sim.scenes.exposure import check_noise, develop, exposure_offsets
from asyncmde_sim.scenes.habitat.client import LOADING_S, SILENCE_S, Worker, WorkerLostError
from asyncmde_sim.scenes.habitat.dataset import join_parts, parse_dataset_scene
from asyncmde_sim.scenes.habitat.movers import mover_file, write_coloured
from asyncmde_sim.scenes.library import cache_dir, resolve_scene
from asyncmde_sim.scenes.mesh_io import Z_UP_FROM_Y_UP, SurfaceMesh
from asyncmde_sim.scenes.raycast import RaycastBackend
from asyncmde_sim.scenes.shading import unpack
from asyncmde_sim.scenes.space import FLOOR_SKIN_M, GROUND_CELL_M, FreeSpace, largest

ON_MESH_M = 0.05
"""A place that is no farther than this from the navigation mesh is on it: the mesh has corners cut."""
FLOOR_SLACK_M = 0.1
"""The mesh's floor may lie so far from ours: it is made of voxels."""
VOXEL_M = 0.015
"""The navigation mesh is made of voxels about so wide, a whole number of them to the body's radius ..."""
MAX_VOXELS = 3000
"""... and at most so many along a side of the scene."""

_FROM_Z_UP = np.linalg.inv(Z_UP_FROM_Y_UP)
_FROM_GL_CAMERA = np.diag([1.0, -1.0, -1.0, 1.0])


def check_camera(camera: Camera) -> None:
    """Check that Habitat-Sim can render this camera.

    Raises:
        ValueError: It has a rolling shutter or distorts.
    """
    if camera.readout_s > 0:
        raise ValueError(
            f"the camera's readout_s is {camera.readout_s}, but the habitat backend has no rolling shutter: "
            "use readout_s=0 or the raycast backend"
        )
    if any(camera.distortion):
        raise ValueError(
            f"the camera's distortion is {camera.distortion}, but the habitat backend has a pinhole only: "
            "use no distortion or the raycast backend"
        )


class HabitatBackend:
    """One scene in one worker process; see ``SceneBackend`` for the calls.

    Images and depth are Habitat-Sim's, and so is the navigation mesh that decides where bodies on the floor
    can be and how far it is to a goal. Clearance, ranges and the space of flying bodies come from the same
    mesh in this process. Random places are drawn as the raycast backend draws them, and kept where the
    navigation mesh has them, so that a seed means the same in both.

    Args:
        worker: The process; the backend loads its scene there, in place of the one before.
        scene: A name of the library, the path of a mesh file, or ``CONFIG:NAME`` for a scene of a dataset.
        gpu_device_id: CUDA device that renders; -1 is what EGL offers first: without a GPU, software.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: There is no such scene, or its mesh cannot be used.
        OSError: Habitat-Sim cannot render here.
        WorkerLostError: The worker died.
    """

    def __init__(self, worker: Worker, scene: str, gpu_device_id: int = -1) -> None:
        self.name = scene
        self.worker = worker
        dataset = parse_dataset_scene(scene)
        if dataset is None:
            surface = load_backend(scene)
            assert isinstance(surface, RaycastBackend)
            self._surface = surface
            self._file = _stage_file(resolve_scene(scene).resolve(), surface.mesh)
        else:
            self._file = dataset[0]
        worker.scene = None
        try:
            parts = worker.request(
                "load",
                LOADING_S,
                scene=str(self._file) if dataset is None else dataset[1],
                dataset=None if dataset is None else str(self._file),
                z_up=self._file.suffix.lower() in (".ply", ".obj"),
                gpu=gpu_device_id,
            )["parts"]
        except WorkerLostError as error:
            if "context" not in str(error):
                raise
            device = "any device" if gpu_device_id < 0 else f"CUDA device {gpu_device_id}"
            raise OSError(
                f"Habitat-Sim finds no EGL on {device} ({error}): install the driver's EGL or, for software "
                "rendering, Mesa's (Debian: libegl1 libgl1-mesa-dri) and use backend habitat without @N"
            ) from error
        worker.scene = scene
        if dataset is not None:
            self._surface = RaycastBackend(join_parts(parts), scene)
        self.bounds = self._surface.bounds
        self._camera: tuple[Any, ...] | None = None
        self._navmeshes: set[str] = set()
        self._spaces: dict[RobotBody, FreeSpace] = {}

    @classmethod
    def load(
        cls, scene: str, gpu_device_id: int = -1, before: SceneBackend | None = None, restart: bool = False
    ) -> HabitatBackend:
        """See ``load_backend``."""
        if isinstance(before, HabitatBackend) and not (before.worker.lost and restart):
            before.worker.check()
            return before if before.worker.scene == scene else cls(before.worker, scene, gpu_device_id)
        worker = Worker()
        try:
            return cls(worker, scene, gpu_device_id)
        except BaseException:
            worker.close()
            raise

    @property
    def floor_m(self) -> float:
        """Height of the floor."""
        return self._surface.floor_m

    @property
    def planner(self) -> SceneBackend:
        """The same scene without Habitat-Sim."""
        return self._surface

    def render(
        self,
        camera: Camera,
        motion: RigidMotion,
        movers: Sequence[Mover] = (),
        rng: np.random.Generator | None = None,
    ) -> Rendering:
        """Render the camera moving by ``motion``, one sharp image for each instant of the exposure."""
        check_noise(camera, rng)
        rgba, depth = self.frames(camera)
        self._request("render", **self.drawing(camera, motion, movers))
        images = [unpack(image.view(np.uint32)[::-1, :, 0]) for image in rgba]
        seen = depth[::-1].copy()
        if seen.max() > camera.max_range_m:
            seen[seen > camera.max_range_m] = 0
        return Rendering(develop(images, camera, rng), seen)

    def drawing(self, camera: Camera, motion: RigidMotion, movers: Sequence[Mover] = ()) -> dict[str, Any]:
        """Arguments of the worker's ``render`` for one exposure."""
        instants = exposure_offsets(camera)
        count = len(instants)
        if count % 2 == 0:
            instants = np.append(instants, 0.0)
        middle = count // 2 if count % 2 else count
        eyes = _FROM_Z_UP @ motion.poses_at(instants) @ _FROM_GL_CAMERA
        things = [_FROM_Z_UP @ m.motion.poses_at(instants) @ Z_UP_FROM_Y_UP for m in movers]
        frames: list[dict[str, Any]] = [
            {
                "camera": eyes[i].tolist(),
                "objects": [poses[i].tolist() for poses in things],
                "slot": i if i < count else None,
                "depth": i == middle,
            }
            for i in range(len(instants))
        ]
        return {"files": [str(mover_file(m.kind)) for m in movers], "frames": frames}

    def frames(self, camera: Camera) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Shared memory for one exposure, see ``worker.frame_views``; the worker's camera is set up for it.

        Raises:
            ValueError: Habitat-Sim cannot render this camera.
        """
        check_camera(camera)
        count = len(exposure_offsets(camera))
        wanted = (camera.width, camera.height, camera.hfov_rad, count)
        memory = self.worker.frames(camera.width, camera.height, count)
        if wanted != self._camera:
            self._camera = None
            self._request(
                "camera",
                width=camera.width,
                height=camera.height,
                hfov_deg=float(np.degrees(camera.hfov_rad)),
                frames=count,
            )
            self._camera = wanted
        return memory

    def clearance(
        self, points: NDArray[np.float64], body: RobotBody, movers: Sequence[Mover] = ()
    ) -> NDArray[np.float64]:
        """Distance (N,) from the body's surface at ``points`` (N, 3) to the nearest surface."""
        return self._surface.clearance(points, body, movers)

    def range_along(
        self, origins: NDArray[np.float64], directions: NDArray[np.float64], movers: Sequence[Mover] = ()
    ) -> NDArray[np.float64]:
        """True distance (N,) from origins (N, 3) along unit directions (N, 3); ``inf`` for a miss."""
        return self._surface.range_along(origins, directions, movers)

    def sample_free(
        self, rng: np.random.Generator, body: RobotBody, count: int, margin_m: float = 0.1
    ) -> NDArray[np.float64]:
        """Random positions (count, 3) of the body in the largest free space, ``margin_m`` clear."""
        if body.flies:
            return self._surface.sample_free(rng, body, count, margin_m)
        kept: list[NDArray[np.float64]] = []
        missing = count
        for _ in range(100):
            points = self._surface.sample_free(rng, body, missing, margin_m)
            points = points[self.gaps(points, body) <= ON_MESH_M]
            kept.append(points)
            missing -= len(points)
            if missing == 0:
                return np.concatenate(kept)
        raise ValueError(
            f"{self.name}: Habitat-Sim's navigation mesh has no place for a body of radius {body.radius_m} m "
            f"with {margin_m} m around it: use a smaller body or margin"
        )

    def distance_field(self, goal: NDArray[np.float64], body: RobotBody) -> DistanceField:
        """The geodesic distance to ``goal`` (3,) for this body."""
        if body.flies:
            return self._surface.distance_field(goal, body)
        return self.space(body).distance_field(goal)

    def space(self, body: RobotBody) -> FreeSpace:
        """The largest connected part of Habitat-Sim's navigation mesh at the floor, as a grid.

        Ways are measured on it rather than by Habitat-Sim's path finder, which goes through the middles of
        the mesh's polygons' edges and so takes longer ways than there are, by a third at worst.
        """
        if body not in self._spaces:
            step = GROUND_CELL_M / 2
            height = {"height_m": self.floor_m, "step_m": step, "slack_m": FLOOR_SLACK_M}
            found = self._ask("raster", body, **height)
            self._spaces[body] = _space(found, step, self.floor_m, body, self.name)
        return self._spaces[body]

    def gaps(self, points: NDArray[np.float64], body: RobotBody) -> NDArray[np.float64]:
        """Horizontal distance (N,) from points (N, 3) to the navigation mesh of a body on the floor."""
        return np.linalg.norm(self.snapped(points, body) - points, axis=1)

    def snapped(self, points: NDArray[np.float64], body: RobotBody) -> NDArray[np.float64]:
        """The nearest places (N, 3) of the navigation mesh at the points' heights; NaN if there is none."""
        found = self._ask("snap", body, points=_to_habitat(points).tolist())
        nearest = np.array(found, dtype=np.float64).reshape(-1, 3) @ Z_UP_FROM_Y_UP[:3, :3].T
        nearest[:, 2] = points[:, 2]
        return nearest

    def ways(
        self, points: NDArray[np.float64], goal: NDArray[np.float64], body: RobotBody
    ) -> NDArray[np.float64]:
        """Lengths (N,) of the ways that Habitat-Sim's path finder takes from points (N, 3) to a goal (3,)."""
        found = self._ask(
            "distances", body, goal=_to_habitat(goal).tolist(), points=_to_habitat(points).tolist()
        )
        return np.array(found, dtype=np.float64)

    def close(self) -> None:
        """End the worker."""
        self.worker.close()

    def _request(self, op: str, patience_s: float = SILENCE_S, **arguments: Any) -> Any:
        self.worker.check()
        if self.worker.scene != self.name:
            raise RuntimeError(f"{self.name}: the worker has loaded {self.worker.scene!r} in its place")
        return self.worker.request(op, patience_s, **arguments)

    def _navmesh_settings(self, body: RobotBody) -> dict[str, Any]:
        """Habitat-Sim's settings for a body, lengths in metres; it climbs no more than the floor's skin."""
        widest = max(VOXEL_M, float((self.bounds[1] - self.bounds[0])[:2].max()) / MAX_VOXELS)
        return {
            "agent_radius": body.radius_m,
            "agent_height": body.height_m,
            "agent_max_climb": FLOOR_SKIN_M,
            "cell_size": body.radius_m / math.ceil(body.radius_m / widest),
            "cell_height": FLOOR_SKIN_M,
            "edge_max_error": 1.0,
            "include_static_objects": True,
        }

    def _ask(self, op: str, body: RobotBody, **arguments: Any) -> Any:
        """A request about the navigation mesh of a body on the floor, which is made when it is missing."""
        settings = self._navmesh_settings(body)
        name = repr(sorted(settings.items()))
        if name not in self._navmeshes:
            file = _cached(self._file, f"{self.name} {name}", "navmesh", ".navmesh")
            self._request("navmesh", LOADING_S, name=name, settings=settings, file=str(file))
            self._navmeshes.add(name)
        return self._request(op, navmesh=name, **arguments)


def _space(found: dict[str, Any], step_m: float, floor_m: float, body: RobotBody, scene: str) -> FreeSpace:
    """The free space of a worker's ``raster`` in steps of half a cell."""
    shape = found["shape"]
    bits = np.frombuffer(base64.b64decode(found["bits"]), np.uint8)
    rows = np.unpackbits(bits, count=shape[0] * shape[1]).reshape(shape).astype(bool)
    fine = np.pad(rows.T[:, ::-1], 2)  # along x and y, with a margin for the outermost cells
    fine = np.pad(fine, [(0, 1 - size % 2) for size in fine.shape])
    x, z = found["corner"]
    origin = np.array([x, -(z + (shape[0] - 1) * step_m)]) - 2 * step_m
    inside = fine[1::2, 1::2]
    near = ndimage.maximum_filter(fine, 3)[1::2, 1::2]
    labels, count = ndimage.label(inside)
    if count == 0:
        raise ValueError(f"{scene}: Habitat-Sim's navigation mesh has no floor at {floor_m:.2f} m")
    free = largest(labels)
    room = np.where(free, body.radius_m + 2 * step_m * ndimage.distance_transform_edt(free), 0)
    return FreeSpace.of_cells(free, near, room, origin, 2 * step_m, floor_m, body)


def _to_habitat(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points (..., 3) of our world in Habitat's."""
    return np.asarray(points, dtype=np.float64) @ _FROM_Z_UP[:3, :3].T


def _stage_file(file: Path, mesh: SurfaceMesh) -> Path:
    """The file that Habitat-Sim loads: a copy where corners carry the colours, see ``write_coloured``."""
    if mesh.corner_rgb is None or mesh.textures:
        return file
    copy = _cached(file, "coloured", "stages", ".glb")
    if not copy.is_file():
        corners = trimesh.Trimesh(
            mesh.triangles.reshape(-1, 3),
            np.arange(3 * len(mesh.faces)).reshape(-1, 3),
            vertex_colors=mesh.corner_rgb.reshape(-1, 3),
            process=False,
        )
        write_coloured(corners, copy)
    return copy


def _cached(file: Path, about: str, folder: str, suffix: str) -> Path:
    """A file of the scene cache that depends on ``about`` and on a scene's file as it is now."""
    state = os.stat(file)
    key = f"{file}|{state.st_size}|{state.st_mtime_ns}|{about}"
    place = cache_dir() / folder
    place.mkdir(parents=True, exist_ok=True)
    return place / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}{suffix}"
