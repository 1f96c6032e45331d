"""The pinhole camera and the motion of things during one exposure.

Frames: cameras are x right, y down, z forward; the world is z up. Poses are 4x4 ``T_world_camera``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from asyncmde_sim.intrinsics import Intrinsics

MIN_SIDE_PX = 32
"""The largest stride of the depth networks: a smaller image has no cell at their last level."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera with optional lens distortion, rolling shutter and motion blur.

    Args:
        width: Image width in pixels, at least 32 (the networks' largest stride).
        height: Image height in pixels, at least 32.
        hfov_rad: Horizontal field of view of the undistorted image, radians.
        distortion: OpenCV's Brown-Conrady coefficients ``(k1, k2, p1, p2, k3)``.
        max_range_m: Depth beyond this range is reported as 0 (none).
        exposure_s: Exposure time of a row, seconds; with ``blur_samples`` > 1 it blurs motion.
        blur_samples: Number of instants averaged over the exposure; 1 renders a sharp image.
        readout_s: Time from the first row's exposure to the last row's (rolling shutter); 0 is global.
        exposure_gain: Factor on the linear image intensity before it saturates.
        noise_std: Standard deviation of the read noise, in units of 8-bit grey levels.
    """

    width: int = 224
    height: int = 168
    hfov_rad: float = math.pi / 2
    distortion: tuple[float, float, float, float, float] = (0.0, 0.0, 0.0, 0.0, 0.0)
    max_range_m: float = 20.0
    exposure_s: float = 0.0
    blur_samples: int = 1
    readout_s: float = 0.0
    exposure_gain: float = 1.0
    noise_std: float = 0.0

    def __post_init__(self) -> None:
        for name in ("width", "height"):
            if getattr(self, name) < MIN_SIDE_PX:
                raise ValueError(
                    f"camera {name} is {getattr(self, name)} px, but the depth networks need at least "
                    f"{MIN_SIDE_PX} px (their largest stride): use a larger image"
                )
        if not 0 < self.hfov_rad < math.pi:
            raise ValueError(f"hfov_rad is {self.hfov_rad}, but a pinhole camera needs 0 < hfov_rad < pi")
        if not self.max_range_m > 0:
            raise ValueError(f"max_range_m is {self.max_range_m}, but it must be positive")
        if self.blur_samples < 1:
            raise ValueError(f"blur_samples is {self.blur_samples}, but at least 1 is needed")
        for name in ("exposure_s", "readout_s", "noise_std", "exposure_gain"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} is {value}, but it must be finite and not negative")

    @property
    def pinhole(self) -> Intrinsics:
        """The camera as data sets describe it.

        Raises:
            ValueError: It distorts, which they cannot say.
        """
        if any(self.distortion):
            raise ValueError(f"the camera's distortion is {self.distortion}, but a pinhole is needed")
        focal = self.focal_px
        return Intrinsics(self.width, self.height, focal, focal, self.width / 2 - 0.5, self.height / 2 - 0.5)

    @property
    def focal_share(self) -> float:
        """Focal length as a share of the image's width, whatever its size."""
        return self.focal_px / self.width

    @property
    def focal_px(self) -> float:
        """Focal length in pixels (square pixels)."""
        return self.width / 2 / math.tan(self.hfov_rad / 2)

    @property
    def intrinsics(self) -> NDArray[np.float64]:
        """The 3x3 matrix K; pixel centres lie at integer coordinates plus 0.5."""
        f = self.focal_px
        return np.array([[f, 0, self.width / 2], [0, f, self.height / 2], [0, 0, 1]])


@dataclass(frozen=True)
class RigidMotion:
    """A rigid pose at a reference instant and its constant velocity around it.

    Args:
        pose: 4x4 ``T_world_object`` (or ``T_world_camera``) at the reference instant.
        linear_velocity: Velocity of the origin in the world, m/s, shape (3,).
        angular_velocity: Rotation rate in the *object's* frame, rad/s, shape (3,).
    """

    pose: NDArray[np.float64]
    linear_velocity: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))
    angular_velocity: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))

    def poses_at(self, offsets_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Poses (N, 4, 4) at N instants, seconds relative to the reference instant."""
        offsets_s = np.asarray(offsets_s, dtype=np.float64)
        if not offsets_s.any():
            return np.broadcast_to(self.pose, (len(offsets_s), 4, 4)).astype(np.float64)
        poses = np.broadcast_to(np.eye(4), (len(offsets_s), 4, 4)).copy()
        turn = Rotation.from_rotvec(offsets_s[:, None] * self.angular_velocity).as_matrix()
        poses[:, :3, :3] = self.pose[:3, :3] @ turn
        poses[:, :3, 3] = self.pose[:3, 3] + offsets_s[:, None] * self.linear_velocity
        return poses
