"""The ROS 2 messages that recordings are made of, as the interface packages define them.

A message is a dict with the fields of its definition. Frames follow REP 103 and REP 105: the camera's is an
optical frame (x right, y down, z forward), as everywhere here. Depth images follow REP 118: metres as 32-bit
floats, NaN where there is none.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from asyncmde_sim.scenes.camera import Camera

Message = dict[str, Any]

_FIELDS = {
    "builtin_interfaces/Time": ("int32 sec", "uint32 nanosec"),
    "std_msgs/Header": ("builtin_interfaces/Time stamp", "string frame_id"),
    "std_msgs/Float64": ("float64 data",),
    "geometry_msgs/Vector3": ("float64 x", "float64 y", "float64 z"),
    "geometry_msgs/Point": ("float64 x", "float64 y", "float64 z"),
    "geometry_msgs/Quaternion": ("float64 x 0", "float64 y 0", "float64 z 0", "float64 w 1"),
    "geometry_msgs/Transform": ("geometry_msgs/Vector3 translation", "geometry_msgs/Quaternion rotation"),
    "geometry_msgs/TransformStamped": (
        "std_msgs/Header header",
        "string child_frame_id",
        "geometry_msgs/Transform transform",
    ),
    "geometry_msgs/Pose": ("geometry_msgs/Point position", "geometry_msgs/Quaternion orientation"),
    "geometry_msgs/PoseStamped": ("std_msgs/Header header", "geometry_msgs/Pose pose"),
    "tf2_msgs/TFMessage": ("geometry_msgs/TransformStamped[] transforms",),
    "sensor_msgs/Image": (
        "std_msgs/Header header",
        "uint32 height",
        "uint32 width",
        "string encoding",
        "uint8 is_bigendian",
        "uint32 step",
        "uint8[] data",
    ),
    "sensor_msgs/RegionOfInterest": (
        "uint32 x_offset",
        "uint32 y_offset",
        "uint32 height",
        "uint32 width",
        "bool do_rectify",
    ),
    "sensor_msgs/CameraInfo": (
        "std_msgs/Header header",
        "uint32 height",
        "uint32 width",
        "string distortion_model",
        "float64[] d",
        "float64[9] k",
        "float64[9] r",
        "float64[12] p",
        "uint32 binning_x",
        "uint32 binning_y",
        "sensor_msgs/RegionOfInterest roi",
    ),
    "sensor_msgs/PointField": (
        "uint8 INT8=1",
        "uint8 UINT8=2",
        "uint8 INT16=3",
        "uint8 UINT16=4",
        "uint8 INT32=5",
        "uint8 UINT32=6",
        "uint8 FLOAT32=7",
        "uint8 FLOAT64=8",
        "string name",
        "uint32 offset",
        "uint8 datatype",
        "uint32 count",
    ),
    "sensor_msgs/PointCloud2": (
        "std_msgs/Header header",
        "uint32 height",
        "uint32 width",
        "sensor_msgs/PointField[] fields",
        "bool is_bigendian",
        "uint32 point_step",
        "uint32 row_step",
        "uint8[] data",
        "bool is_dense",
    ),
}
_FLOAT32 = 7


def definition(name: str) -> str:
    """The text of a message's definition with those that it is made of, as recordings carry it.

    Args:
        name: Package and type, such as ``sensor_msgs/Image``.
    """
    needed = [name]
    for found in needed:
        types = [field.split()[0].partition("[")[0] for field in _FIELDS[found]]
        needed += [kind for kind in types if kind in _FIELDS and kind not in needed]
    first, *others = ("\n".join(_FIELDS[found]) for found in needed)
    parts = [f"MSG: {found}\n{text}" for found, text in zip(needed[1:], others, strict=True)]
    return f"\n{80 * '='}\n".join([first, *parts]) + "\n"


def header(time_ns: int, frame: str) -> Message:
    """When and in which frame."""
    return {"stamp": {"sec": time_ns // 10**9, "nanosec": time_ns % 10**9}, "frame_id": frame}


def image(time_ns: int, frame: str, pixels: NDArray[np.uint8]) -> Message:
    """A colour image (H, W, 3)."""
    return _image(time_ns, frame, pixels, "rgb8")


def depth_image(time_ns: int, frame: str, depth: NDArray[np.float32]) -> Message:
    """Planar depth (H, W) in metres, 0 for none."""
    return _image(time_ns, frame, np.where(depth > 0, depth, np.nan).astype("<f4"), "32FC1")


def float_image(time_ns: int, frame: str, values: NDArray[np.float32]) -> Message:
    """Numbers (h, w) as they are."""
    return _image(time_ns, frame, values.astype("<f4"), "32FC1")


def _image(time_ns: int, frame: str, pixels: NDArray[Any], encoding: str) -> Message:
    height, width = pixels.shape[:2]
    return {
        "header": header(time_ns, frame),
        "height": height,
        "width": width,
        "encoding": encoding,
        "is_bigendian": 0,
        "step": pixels.nbytes // height,
        "data": pixels.tobytes(),
    }


def camera_info(time_ns: int, frame: str, camera: Camera) -> Message:
    """The camera: OpenCV's distortion; pixel centres lie at integer coordinates, as ROS has it."""
    k = camera.intrinsics - [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]
    return {
        "header": header(time_ns, frame),
        "height": camera.height,
        "width": camera.width,
        "distortion_model": "plumb_bob",
        "d": list(camera.distortion),
        "k": k.ravel().tolist(),
        "r": np.eye(3).ravel().tolist(),
        "p": np.hstack([k, np.zeros((3, 1))]).ravel().tolist(),
        "binning_x": 0,
        "binning_y": 0,
        "roi": {"x_offset": 0, "y_offset": 0, "height": 0, "width": 0, "do_rectify": False},
    }


def cloud(time_ns: int, frame: str, points: NDArray[np.float64]) -> Message:
    """Points (N, 3) in metres."""
    data = points.astype("<f4")
    return {
        "header": header(time_ns, frame),
        "height": 1,
        "width": len(data),
        "fields": [
            {"name": axis, "offset": 4 * index, "datatype": _FLOAT32, "count": 1}
            for index, axis in enumerate("xyz")
        ],
        "is_bigendian": False,
        "point_step": 12,
        "row_step": 12 * len(data),
        "data": data.tobytes(),
        "is_dense": True,
    }


def pose(time_ns: int, frame: str, matrix: NDArray[np.float64]) -> Message:
    """A 4x4 pose in a frame."""
    place, turn = _parts(matrix)
    return {"header": header(time_ns, frame), "pose": {"position": place, "orientation": turn}}


def transforms(time_ns: int, parent: str, child: str, matrix: NDArray[np.float64]) -> Message:
    """The transform of one frame: its 4x4 pose in its parent."""
    place, turn = _parts(matrix)
    one = {
        "header": header(time_ns, parent),
        "child_frame_id": child,
        "transform": {"translation": place, "rotation": turn},
    }
    return {"transforms": [one]}


def _parts(matrix: NDArray[np.float64]) -> tuple[Message, Message]:
    position, quaternion = matrix[:3, 3].tolist(), Rotation.from_matrix(matrix[:3, :3]).as_quat().tolist()
    return dict(zip("xyz", position, strict=True)), dict(zip("xyzw", quaternion, strict=True))
