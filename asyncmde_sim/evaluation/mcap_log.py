"""An MCAP recording of an episode in the standard messages of ROS 2.

Needs the ``mcap`` extra.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from asyncmde_sim.evaluation import ros_messages as ros
from asyncmde_sim.evaluation.rerun_log import CLOUD_INTERVAL_NS, CLOUD_STRIDE, world_points
from asyncmde_sim.scenes.camera import Camera

WORLD, ODOMETRY, OPTICAL = "world", "odom", "camera_optical_frame"
TOPICS = {
    "/tf": "tf2_msgs/TFMessage",
    "/camera/image_raw": "sensor_msgs/Image",
    "/camera/camera_info": "sensor_msgs/CameraInfo",
    "/camera/pose": "geometry_msgs/PoseStamped",
    "/camera/odometry": "geometry_msgs/PoseStamped",
    "/depth/true": "sensor_msgs/Image",
    "/depth/estimated": "sensor_msgs/Image",
    "/depth/trust": "sensor_msgs/Image",
    "/cloud/true": "sensor_msgs/PointCloud2",
    "/cloud/estimated": "sensor_msgs/PointCloud2",
    "/speed_mps": "std_msgs/Float64",
    "/clearance_m": "std_msgs/Float64",
    "/depth_age_s": "std_msgs/Float64",
    "/content_age_s": "std_msgs/Float64",
    "/refresh_age_s": "std_msgs/Float64",
}
"""Topics and the types of their messages."""


def check_mcap() -> None:
    """Check that the writer of MCAP files is installed.

    Raises:
        ValueError: It is not.
    """
    try:
        import mcap_ros2  # noqa: F401
    except ImportError as error:
        raise ValueError(
            "an MCAP recording needs the extra 'mcap': pip install 'asyncmde-sim[mcap]'"
        ) from error


class McapLog:
    """Writes one episode as ``TOPICS``: images and poses at every step, clouds twice a second.

    A message is logged when it was there; its stamp is the time that it describes: an estimate and its cloud
    have that of their frame's capture. Clouds are in the camera's frame, so that the transform at their stamp
    places them. Times are simulated and start at 0. Lens distortion is not undone.

    Args:
        path: File to write; it is in its place only when it is whole.
        camera: The robot's camera.
    """

    def __init__(self, path: Path, camera: Camera) -> None:
        from mcap_ros2.writer import Writer

        self._path = path
        self._temporary = path.with_name(f".{path.name}.part")
        self._camera = camera
        self._file = self._temporary.open("wb")
        self._writer = Writer(self._file)
        self._schemas = {
            name: self._writer.register_msgdef(name.replace("/", "/msg/"), ros.definition(name))
            for name in sorted(set(TOPICS.values()))
        }
        self._begun = self._ended = False

    def begin(self, episode: int, observation: Mapping[str, Any], info: Mapping[str, Any]) -> None:
        """Start the episode.

        Raises:
            ValueError: It is the second one: its times would run beside those of the first.
        """
        if self._begun:
            raise ValueError("an MCAP recording holds one episode: write the next one into another file")
        self._begun = True
        self._times_ns: list[int] = []
        self._cloud_ns = -CLOUD_INTERVAL_NS
        self._log(observation, info)

    def step(self, observation: Mapping[str, Any], info: Mapping[str, Any], row: Mapping[str, Any]) -> None:
        """Log a step."""
        self._log(observation, info)

    def end(self, row: Mapping[str, Any]) -> None:
        """End the episode."""
        self._ended = True

    def close(self) -> None:
        """Finish the file if it holds a whole episode, else leave none."""
        self._writer.finish()
        self._file.close()
        if self._ended:
            self._temporary.replace(self._path)
        self._temporary.unlink(missing_ok=True)

    def _log(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> None:
        now, pose = int(info["time_ns"]), np.asarray(info["T_world_camera"], dtype=np.float64)
        self._times_ns.append(now)
        messages = {
            "/tf": ros.transforms(now, WORLD, OPTICAL, pose),
            "/camera/image_raw": ros.image(now, OPTICAL, observation["image"]),
            "/camera/camera_info": ros.camera_info(now, OPTICAL, self._camera),
            "/camera/pose": ros.pose(now, WORLD, pose),
            "/depth/true": ros.depth_image(now, OPTICAL, info["true_depth"]),
            "/speed_mps": {"data": float(info["speed"])},
            "/clearance_m": {"data": float(info["clearance"])},
        }
        if "T_odometry_camera" in info:
            messages["/camera/odometry"] = ros.pose(now, ODOMETRY, np.asarray(info["T_odometry_camera"]))
        clouds = {"/cloud/true": (now, info["true_depth"])}
        if observation["has_depth"]:
            then = now - 1e9 * float(observation["depth_age"][0])
            captured = min(self._times_ns, key=lambda time_ns: abs(time_ns - then))
            messages["/depth/estimated"] = ros.depth_image(captured, OPTICAL, observation["depth"])
            clouds["/cloud/estimated"] = (captured, observation["depth"])
            for age in ("depth_age", "content_age", "refresh_age"):
                messages[f"/{age}_s"] = {"data": float(observation[age][0])}
        if "trust_map" in info:
            messages["/depth/trust"] = ros.float_image(now, OPTICAL, info["trust_map"])
        if now - self._cloud_ns >= CLOUD_INTERVAL_NS:
            self._cloud_ns = now
            for topic, (stamp, depth) in clouds.items():
                points = world_points(depth, self._camera, np.eye(4), CLOUD_STRIDE)
                messages[topic] = ros.cloud(stamp, OPTICAL, points)
        for topic, message in messages.items():
            self._writer.write_message(topic, self._schemas[TOPICS[topic]], message, now, now)
