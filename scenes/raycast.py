"""The ``raycast`` backend: Embree rays that carry their own time, on any textured or coloured mesh."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import product
from pathlib import Path

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from numpy.typing import NDArray

from asyncmde_sim.scenes.backend import DistanceField, Mover, Rendering, RobotBody
from asyncmde_sim.scenes.camera import Camera, RigidMotion
from asyncmde_sim.scenes.clearance import (
    SurfaceDistance,
    clip_slab,
    flatten,
    triangle_distances,
)
from asyncmde_sim.scenes.exposure import check_noise, develop, exposure_offsets
from asyncmde_sim.scenes.mesh_io import SUFFIXES, SurfaceMesh, from_trimesh, load_mesh
from asyncmde_sim.scenes.shading import Shader, unpack
from asyncmde_sim.scenes.space import FLOOR_SKIN_M, FreeSpace, build_space, find_floor


class Solid:
    """One mesh, ready for rays: its Embree scene, its colours and its bounding box and sphere.

    Embree's robust mode is off, which saves a quarter of its time. It guards rays that meet an edge
    exactly; of six million pixels of generated and scanned scenes it changed none.
    """

    def __init__(self, mesh: SurfaceMesh) -> None:
        self.mesh = mesh
        self.shader = Shader(mesh)
        low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
        self.box = np.array(list(product(*zip(low, high, strict=True))), dtype=np.float64)
        self.centre = self.box.mean(axis=0)
        self.radius = float(np.linalg.norm(self.box - self.centre, axis=1).max())
        self.embree = EmbreeScene(robust=False)
        self._geometry = TriangleMesh(
            self.embree, np.ascontiguousarray(mesh.vertices), np.ascontiguousarray(mesh.faces)
        )

    def cast(
        self,
        origins: NDArray[np.float32],
        directions: NDArray[np.float32],
        limit: NDArray[np.float32] | None = None,
    ) -> dict[str, NDArray]:
        """First hits of rays (N, 3) no farther than ``limit`` (N,), in lengths of the direction.

        ``tfar`` is the distance, ``primID`` the face (-1 for a miss), ``u`` and ``v`` its barycentrics.
        """
        return self.embree.run(origins, directions, dists=limit, output=True)


def pixel_rays(camera: Camera) -> NDArray[np.float32]:
    """Rays (H, W, 3) through the pixel centres in the camera frame with z = 1, lens distortion undone.

    Raises:
        ValueError: The distortion folds the image: some pixel has no ray.
    """
    return _pixel_rays(camera.width, camera.height, camera.focal_px, camera.distortion)


@lru_cache(maxsize=32)
def _pixel_rays(
    width: int, height: int, focal_px: float, distortion: tuple[float, float, float, float, float]
) -> NDArray[np.float32]:
    seen_x, seen_y = np.meshgrid(
        (np.arange(width) + 0.5 - width / 2) / focal_px, (np.arange(height) + 0.5 - height / 2) / focal_px
    )
    x, y = seen_x, seen_y
    if any(distortion):
        k1, k2, p1, p2, k3 = distortion
        with np.errstate(all="ignore"):
            for _ in range(100):
                r2 = x * x + y * y
                radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
                error_x = seen_x - (x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x))
                error_y = seen_y - (y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y)
                worst_px = np.maximum(np.abs(error_x), np.abs(error_y)).max() * focal_px
                if not worst_px > 1e-4:
                    break
                x, y = x + error_x / radial, y + error_y / radial
        if not worst_px <= 1e-2:
            raise ValueError(
                f"distortion {distortion} folds the image: some pixels have no ray; use weaker "
                "coefficients or a narrower hfov_rad"
            )
    rays = np.stack([x, y, np.ones_like(x)], axis=-1).astype(np.float32)
    rays.setflags(write=False)
    return rays


def row_offsets(camera: Camera) -> NDArray[np.float64]:
    """Seconds (H,) from the frame's reference instant to the middle of each row's exposure."""
    return np.linspace(-0.5, 0.5, camera.height) * camera.readout_s


class RaycastBackend:
    """A scene that answers by casting rays on one core; see ``SceneBackend`` for the calls.

    Distances are to surfaces: a point deep inside a closed solid is as far as its nearest side.

    Args:
        mesh: The static scene.
        name: What messages call it.
        movers: Meshes of movers by kind; those not given come from the generator of movers.
    """

    def __init__(self, mesh: SurfaceMesh, name: str, movers: dict[str, SurfaceMesh] | None = None) -> None:
        self.name = name
        self.bounds = np.stack([mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)]).astype(np.float64)
        self._solid = Solid(mesh)
        self._triangles = mesh.triangles
        self._movers = {kind: Solid(surface) for kind, surface in (movers or {}).items()}
        self._spaces: dict[RobotBody, FreeSpace] = {}
        self._distances: dict[tuple[float, float] | None, SurfaceDistance] = {}
        self._floor_m: float | None = None

    @classmethod
    def load(cls, scene: str | Path) -> RaycastBackend:
        """Load a GLB, PLY or OBJ file, or a scene of the library by name.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: There is no such scene, or the file is not a usable mesh.
        """
        if Path(scene).suffix.lower() in SUFFIXES:
            return cls(load_mesh(scene), name=str(scene))
        from asyncmde_sim.scenes.library import resolve_scene

        return cls(load_mesh(resolve_scene(str(scene))), name=str(scene))

    @property
    def floor_m(self) -> float:
        """Height of the floor."""
        if self._floor_m is None:
            self._floor_m = self._named(find_floor, self._triangles)
        return self._floor_m

    @property
    def mesh(self) -> SurfaceMesh:
        """The static scene."""
        return self._solid.mesh

    @property
    def planner(self) -> RaycastBackend:
        """Itself."""
        return self

    def render(
        self,
        camera: Camera,
        motion: RigidMotion,
        movers: Sequence[Mover] = (),
        rng: np.random.Generator | None = None,
    ) -> Rendering:
        """Render the camera moving by ``motion``; every ray is cast at its own time."""
        check_noise(camera, rng)
        instants = [float(instant) for instant in exposure_offsets(camera)]
        frames = [self._cast_frame(camera, motion, movers, instant) for instant in instants]
        if len(frames) % 2:
            depth = frames[len(frames) // 2][1]
        else:
            _, depth = self._cast_frame(camera, motion, movers, 0.0)
        depth *= depth <= np.float32(camera.max_range_m)
        rgb = develop([unpack(colour) for colour, _ in frames], camera, rng)
        return Rendering(rgb, depth)

    @property
    def embree(self) -> EmbreeScene:
        """The static scene as Embree sees it, for timing."""
        return self._solid.embree

    def world_rays(
        self, camera: Camera, motion: RigidMotion, instant_s: float = 0.0
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Origins and directions (H*W, 3) of all pixels, each at its row's time around ``instant_s``."""
        return _place_rays(pixel_rays(camera), motion.poses_at(_frame_offsets(camera, instant_s)))

    def _cast_frame(
        self, camera: Camera, motion: RigidMotion, movers: Sequence[Mover], instant_s: float
    ) -> tuple[NDArray[np.uint32], NDArray[np.float32]]:
        """Packed colours and planar depths (H, W) of one sharp frame, rows read out around ``instant_s``."""
        rays = pixel_rays(camera)
        offsets = _frame_offsets(camera, instant_s)
        poses = motion.poses_at(offsets)
        hits = self._solid.cast(*_place_rays(rays, poses))
        colour = self._solid.shader.shade(hits["primID"], hits["u"], hits["v"]).reshape(rays.shape[:2])
        depth = hits["tfar"].reshape(rays.shape[:2])
        for mover in movers:
            solid = self._mover(mover.kind)
            relative = _inverse(mover.motion.poses_at(offsets)) @ poses
            window = _window(rays, relative, solid.box)
            if window is None:
                continue
            nearer, block = depth[window], colour[window]
            hits = solid.cast(
                *_place_rays(rays[window], relative[window[0]] if len(relative) > 1 else relative),
                limit=nearer.flatten(),
            )
            found = hits["primID"] >= 0
            pixels = found.reshape(nearer.shape)
            nearer[pixels] = hits["tfar"][found]
            block[pixels] = solid.shader.shade(hits["primID"][found], hits["u"][found], hits["v"][found])
        return colour, depth

    def clearance(
        self, points: NDArray[np.float64], body: RobotBody, movers: Sequence[Mover] = ()
    ) -> NDArray[np.float64]:
        """Distance (N,) from the body's surface at ``points`` (N, 3) to the nearest surface."""
        points = np.asarray(points, dtype=np.float64).reshape(-1, 3)
        slab = None if body.flies else (self.floor_m + FLOOR_SKIN_M, self.floor_m + body.height_m)
        if slab not in self._distances:
            surface = self._triangles if slab is None else flatten(clip_slab(self._triangles, *slab))
            self._distances[slab] = SurfaceDistance(surface)
        flat = points if slab is None else points * np.array([1.0, 1.0, 0.0])
        distance = self._distances[slab](flat)
        for mover in movers:
            solid = self._mover(mover.kind)
            pose = mover.motion.pose
            centre = pose[:3, :3] @ solid.centre + pose[:3, 3]
            away = (points - centre)[:, : 3 if slab is None else 2]
            near = np.flatnonzero(np.linalg.norm(away, axis=1) - solid.radius < distance)
            if len(near) == 0:
                continue
            surface = solid.mesh.triangles @ pose[:3, :3].T + pose[:3, 3]
            if slab is not None:
                surface = flatten(clip_slab(surface, *slab))
            for i in near if len(surface) else ():
                distance[i] = min(distance[i], triangle_distances(flat[i], surface).min())
        return distance - body.radius_m

    def sample_free(
        self, rng: np.random.Generator, body: RobotBody, count: int, margin_m: float = 0.1
    ) -> NDArray[np.float64]:
        """Random positions (count, 3) of the body in the largest free space, ``margin_m`` clear."""
        space = self.space(body)
        kept: list[NDArray[np.float64]] = []
        missing = count
        for _ in range(100):
            points = self._named(space.sample, rng, missing, body.radius_m + margin_m)
            points = points[self.clearance(points, body) >= margin_m]
            kept.append(points)
            missing -= len(points)
            if missing == 0:
                return np.concatenate(kept)
        raise ValueError(
            f"{self.name}: no place for a body of radius {body.radius_m} m with {margin_m} m around it: "
            "use a smaller body or margin"
        )

    def distance_field(self, goal: NDArray[np.float64], body: RobotBody) -> DistanceField:
        """The geodesic distance to ``goal`` (3,) for this body."""
        return self.space(body).distance_field(goal)

    def range_along(
        self, origins: NDArray[np.float64], directions: NDArray[np.float64], movers: Sequence[Mover] = ()
    ) -> NDArray[np.float64]:
        """True distance (N,) from origins (N, 3) along unit directions (N, 3); ``inf`` for a miss."""
        origins = np.asarray(origins, dtype=np.float64).reshape(-1, 3)
        directions = np.asarray(directions, dtype=np.float64).reshape(-1, 3)
        solids = [(self._solid, np.eye(4))]
        solids += [(self._mover(mover.kind), np.linalg.inv(mover.motion.pose)) for mover in movers]
        ranges = np.full(len(origins), np.inf)
        for solid, pose in solids:
            hits = solid.cast(
                (origins @ pose[:3, :3].T + pose[:3, 3]).astype(np.float32),
                (directions @ pose[:3, :3].T).astype(np.float32),
            )
            ranges = np.where(hits["primID"] >= 0, np.minimum(ranges, hits["tfar"]), ranges)
        return ranges

    def space(self, body: RobotBody) -> FreeSpace:
        """The free space of this body, computed once."""
        if body not in self._spaces:
            self._spaces[body] = self._named(
                build_space, self._triangles, self.bounds, self.floor_m, body, self._cast_down
            )
        return self._spaces[body]

    def close(self) -> None:
        """Nothing: ``load_backend`` shares scenes, and their memory is free when nobody holds them."""

    def _cast_down(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.range_along(points, np.broadcast_to([0.0, 0.0, -1.0], points.shape))

    def _mover(self, kind: str) -> Solid:
        if kind not in self._movers:
            from asyncmde_sim.scenes.generate.movers import mover_mesh

            self._movers[kind] = Solid(from_trimesh(mover_mesh(kind)))
        return self._movers[kind]

    def _named(self, function, *args):
        try:
            return function(*args)
        except ValueError as error:
            raise ValueError(f"{self.name}: {error}") from error


def _frame_offsets(camera: Camera, instant_s: float) -> NDArray[np.float64]:
    """Times (H,) of the rows around an instant, or one time (1,) when all rows share it."""
    return instant_s + (row_offsets(camera) if camera.readout_s > 0 else np.zeros(1))


def _place_rays(
    rays: NDArray[np.float32], poses: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Origins and directions (H*W, 3) of camera rays (H, W, 3) at one pose or at one pose a row."""
    turn = poses[:, :3, :3].transpose(0, 2, 1).astype(np.float32)
    place = poses[:, :3, 3].astype(np.float32)
    flat = rays.reshape(-1, 3)
    if len(poses) == 1:
        return np.lib.stride_tricks.as_strided(place, flat.shape, (0, place.itemsize)), flat @ turn[0]
    return np.repeat(place, rays.shape[1], axis=0), (rays @ turn).reshape(-1, 3)


def _window(
    rays: NDArray[np.float32], relative: NDArray[np.float64], box: NDArray[np.float64]
) -> tuple[slice, slice] | None:
    """The rows and columns that hold every pixel that can see a box, or None.

    ``relative`` (1 or H, 4, 4) are poses of the camera in the box's frame, ``box`` (8, 3) its corners.
    """
    seen = (box - relative[:, None, :3, 3]) @ relative[:, :3, :3]
    ahead = seen[..., 2] > 1e-3
    if not ahead.any():
        return None
    depth = np.where(ahead, seen[..., 2], 1.0)[..., None]
    low = (seen[..., :2] / depth).min(axis=1).astype(np.float32) - np.float32(1e-4)
    high = (seen[..., :2] / depth).max(axis=1).astype(np.float32) + np.float32(1e-4)
    behind = ~ahead.all(axis=1)
    low[behind], high[behind] = -np.inf, np.inf
    x, y = rays[..., 0], rays[..., 1]
    inside = (x >= low[:, :1]) & (x <= high[:, :1]) & (y >= low[:, 1:]) & (y <= high[:, 1:])
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if len(rows) == 0:
        return None
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _inverse(poses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inverses of rigid poses (N, 4, 4)."""
    inverse = np.zeros_like(poses)
    turn = poses[:, :3, :3].transpose(0, 2, 1)
    inverse[:, :3, :3] = turn
    inverse[:, :3, 3] = -(turn @ poses[:, :3, 3:])[..., 0]
    inverse[:, 3, 3] = 1
    return inverse
