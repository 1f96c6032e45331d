"""A Rerun recording of a rollout: poses, images, clouds and the path.

Needs the ``rerun`` extra.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray

from asyncmde_sim.envs.state import inverse_pose
from asyncmde_sim.scenes.camera import Camera

IMAGE_INTERVAL_NS = 100_000_000
CLOUD_INTERVAL_NS = 500_000_000
MAP_INTERVAL_NS = 1_000_000_000
CLOUD_STRIDE = 3
ESTIMATED_COLOUR = (253, 160, 60)
TRUE_COLOUR = (90, 170, 250)


def check_rerun() -> None:
    """Check that Rerun is installed.

    Raises:
        ValueError: It is not.
    """
    try:
        import rerun  # noqa: F401
    except ImportError as error:
        raise ValueError("--rerun needs the Rerun SDK: pip install 'asyncmde-sim[rerun]'") from error


class RerunLog:
    """Writes ``recording.rrd``, one entity tree per episode, all on the timeline ``time``.

    Poses are logged at every step, images ten times and clouds twice a second. The cloud of an estimate
    stands where the camera was when its frame was captured. Lens distortion is not undone. What has changed
    of an agent's map is logged once a second.

    Args:
        path: File to write; it is in its place only when it is whole.
        camera: The robot's camera.
        agent: Who steers; its ``map`` is shown if it has one.
    """

    def __init__(self, path: Path, camera: Camera, agent: Any = None) -> None:
        import rerun as rr

        self._rr = rr
        self._path = path
        self._temporary = path.with_name(f".{path.name}.part")
        self._camera = camera
        self._agent = agent
        self._stream = rr.RecordingStream("asyncmde_sim_rollout")
        self._stream.save(self._temporary)
        self._stream.log("/", rr.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)
        self._ended = 0

    def begin(self, episode: int, observation: Mapping[str, Any], info: Mapping[str, Any]) -> None:
        """Start an episode."""
        self._root = f"episode_{episode}"
        self._poses: dict[int, NDArray[np.float64]] = {}
        self._last = {"image": -IMAGE_INTERVAL_NS, "cloud": -CLOUD_INTERVAL_NS, "map": 0}
        self._begin_map(info)
        self._stream.log(
            f"{self._root}/camera",
            self._rr.Pinhole(
                image_from_camera=self._camera.intrinsics,
                width=self._camera.width,
                height=self._camera.height,
                camera_xyz=self._rr.ViewCoordinates.RDF,
                image_plane_distance=0.3,
            ),
            static=True,
        )
        self._log(observation, info)

    def step(self, observation: Mapping[str, Any], info: Mapping[str, Any], row: Mapping[str, Any]) -> None:
        """Log a step."""
        self._log(observation, info)

    def end(self, row: Mapping[str, Any]) -> None:
        """End an episode with its whole path."""
        self._ended += 1
        path = np.array([pose[:3, 3] for pose in self._poses.values()])
        self._stream.log(f"{self._root}/path", self._rr.LineStrips3D([path]))

    def close(self) -> None:
        """Finish the file if it holds a whole episode, else leave none."""
        self._stream.flush()
        self._stream.disconnect()
        if self._ended:
            self._temporary.replace(self._path)
        self._temporary.unlink(missing_ok=True)

    def _log(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> None:
        rr, root, now = self._rr, self._root, int(info["time_ns"])
        pose = np.asarray(info["T_world_camera"])
        self._poses[now] = pose
        self._stream.set_time("time", duration=now / 1e9)
        self._stream.log(f"{root}/camera", rr.Transform3D(translation=pose[:3, 3], mat3x3=pose[:3, :3]))
        self._stream.log(f"{root}/speed_mps", rr.Scalars(float(info["speed"])))
        self._stream.log(f"{root}/clearance_m", rr.Scalars(float(info["clearance"])))
        has_depth = bool(observation["has_depth"])
        if has_depth:
            for age in ("depth_age", "content_age", "refresh_age"):
                self._stream.log(f"{root}/{age}_s", rr.Scalars(float(observation[age][0])))
        if self._due("image", now, IMAGE_INTERVAL_NS):
            self._stream.log(f"{root}/camera/image", rr.Image(observation["image"]))
            self._stream.log(f"{root}/true_depth", rr.DepthImage(info["true_depth"], meter=1.0))
            if has_depth:
                self._stream.log(f"{root}/estimated_depth", rr.DepthImage(observation["depth"], meter=1.0))
            if "trust_map" in info:
                self._stream.log(f"{root}/trust", rr.Image(np.uint8(255 * info["trust_map"])))
        if self._due("cloud", now, CLOUD_INTERVAL_NS):
            self._log_cloud("true_cloud", info["true_depth"], pose, TRUE_COLOUR)
            if has_depth:
                captured = now - float(observation["depth_age"][0]) * 1e9
                nearest = min(self._poses, key=lambda time_ns: abs(time_ns - captured))
                self._log_cloud(
                    "estimated_cloud", observation["depth"], self._poses[nearest], ESTIMATED_COLOUR
                )

        if self._live is not None and self._due("map", now, MAP_INTERVAL_NS):
            for block, mesh in self._live.update().items():
                self._log_mesh(f"{root}/map/{'_'.join(map(str, block))}", mesh)

    def _begin_map(self, info: Mapping[str, Any]) -> None:
        self._live: Any = None
        if not hasattr(self._agent, "map"):
            return
        from asyncmde_sim.mapping import LiveMesh

        self._live = LiveMesh(self._agent.map)
        pose = info["T_world_camera"] @ inverse_pose(info["T_odometry_camera"])
        transform = self._rr.Transform3D(translation=pose[:3, 3], mat3x3=pose[:3, :3])
        self._stream.log(f"{self._root}/map", transform, static=True)

    def _log_mesh(self, entity: str, mesh: trimesh.Trimesh) -> None:
        if not len(mesh.faces):
            self._stream.log(entity, self._rr.Clear(recursive=False))
            return
        visual: Any = mesh.visual
        shown = self._rr.Mesh3D(
            vertex_positions=mesh.vertices,
            triangle_indices=mesh.faces,
            vertex_colors=visual.vertex_colors,
        )
        self._stream.log(entity, shown)

    def _log_cloud(
        self,
        name: str,
        depth: NDArray[np.float32],
        pose: NDArray[np.float64],
        colour: tuple[int, int, int],
    ) -> None:
        points = world_points(depth, self._camera, pose, CLOUD_STRIDE)
        self._stream.log(f"{self._root}/{name}", self._rr.Points3D(points, colors=colour, radii=0.01))

    def _due(self, what: str, now_ns: int, interval_ns: int) -> bool:
        if now_ns - self._last[what] < interval_ns:
            return False
        self._last[what] = now_ns
        return True


def world_points(
    depth: NDArray[np.float32], camera: Camera, pose: NDArray[np.float64], stride: int = 1
) -> NDArray[np.float64]:
    """Points (N, 3) in the world of the pixels that have depth, every ``stride``-th in each direction.

    Args:
        depth: Planar depth (H, W) in metres, 0 for none, at the camera's size.
        camera: Its pinhole; distortion is ignored.
        pose: 4x4 ``T_world_camera``.
        stride: Distance between the pixels taken.
    """
    z = depth[::stride, ::stride].astype(np.float64)
    v, u = np.mgrid[: depth.shape[0] : stride, : depth.shape[1] : stride] + 0.5
    f = camera.focal_px
    points = np.stack([(u - camera.width / 2) / f * z, (v - camera.height / 2) / f * z, z], -1)[z > 0]
    return points @ pose[:3, :3].T + pose[:3, 3]
