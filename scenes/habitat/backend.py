"""The ``habitat`` backend: Habitat-Sim's images and navigation mesh, the rest by the same mesh here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.scenes import load_backend
from asyncmde_sim.scenes.backend import DistanceField, Mover, Rendering, RobotBody, SceneBackend
from asyncmde_sim.scenes.camera import Camera, RigidMotion
from asyncmde_sim.scenes.exposure import check_noise, develop, exposure_offsets
from asyncmde_sim.scenes.habitat.client import LOADING_S, SILENCE_S, Worker, WorkerLostError
from asyncmde_sim.scenes.habitat.dataset import join_parts, parse_dataset_scene
from asyncmde_sim.scenes.habitat.files import cached_file, mover_file, stage_file
from asyncmde_sim.scenes.habitat.navmesh import FLOOR_SLACK_M, navmesh_settings, space_of_raster
from asyncmde_sim.scenes.library import resolve_scene
from asyncmde_sim.scenes.mesh_io import Z_UP_FROM_Y_UP
from asyncmde_sim.scenes.raycast import RaycastBackend
from asyncmde_sim.scenes.shading import unpack
from asyncmde_sim.scenes.space import GROUND_CELL_M, FreeSpace

ON_MESH_M = 0.05
"""A place that is no farther than this from the navigation mesh is on it: the mesh has corners cut."""
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
            self._file = stage_file(resolve_scene(scene).resolve(), surface.mesh)
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
            self._spaces[body] = space_of_raster(found, step, self.floor_m, body, self.name)
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

    def _ask(self, op: str, body: RobotBody, **arguments: Any) -> Any:
        """A request about the navigation mesh of a body on the floor, which is made when it is missing."""
        settings = navmesh_settings(body, self.bounds)
        name = repr(sorted(settings.items()))
        if name not in self._navmeshes:
            file = cached_file(self._file, f"{self.name} {name}", "navmesh", ".navmesh")
            self._request("navmesh", LOADING_S, name=name, settings=settings, file=str(file))
            self._navmeshes.add(name)
        return self._request(op, navmesh=name, **arguments)


def _to_habitat(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points (..., 3) of our world in Habitat's."""
    return np.asarray(points, dtype=np.float64) @ _FROM_Z_UP[:3, :3].T
