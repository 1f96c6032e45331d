"""Do two renderers show the same? Images, depth and geodesic distances of two backends side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.scenes.backend import DistanceField, RobotBody, SceneBackend
from asyncmde_sim.scenes.camera import Camera, RigidMotion
from asyncmde_sim.training.clips import BODY_TO_CAMERA

ROVER = RobotBody(radius_m=0.18, height_m=0.5)
EYE_M = 0.45
SHIFT_M = 0.01
"""The negative control's shift along the optical axis."""
MAX_MEDIAN_DEPTH, MIN_CLOSE_DEPTH, MAX_RGB, MAX_WAY = 0.002, 0.99, 4.0, 0.02
"""Bounds of a match: median relative depth difference, share of the pixels within 1 %, mean difference of the
colours in grey levels, and relative difference of a geodesic distance."""


@dataclass(frozen=True)
class ImageParity:
    """How far the views of two renderers are apart.

    Args:
        median_depth: Median relative difference of the depth where both have one.
        close_depth: Share of all pixels where both have depth within 1 %, or neither has any.
        rgb: Mean absolute difference of the colours, grey levels of 255.
    """

    median_depth: float
    close_depth: float
    rgb: float

    @property
    def matches(self) -> bool:
        """Whether all three are within their bounds."""
        return (
            self.median_depth <= MAX_MEDIAN_DEPTH
            and self.close_depth >= MIN_CLOSE_DEPTH
            and self.rgb <= MAX_RGB
        )


def random_views(
    backend: SceneBackend, count: int, rng: np.random.Generator, body: RobotBody = ROVER, eye_m: float = EYE_M
) -> list[RigidMotion]:
    """Level cameras at rest above random free places of the floor, in random directions."""
    views = []
    feet = backend.sample_free(rng, body, count)
    for foot, yaw in zip(feet, rng.uniform(-math.pi, math.pi, count), strict=True):
        cos, sin = math.cos(yaw), math.sin(yaw)
        pose = np.eye(4)
        pose[:3, :3] = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]) @ BODY_TO_CAMERA
        pose[:3, 3] = np.add(foot, (0, 0, eye_m))
        views.append(RigidMotion(pose))
    return views


def shifted(view: RigidMotion, metres: float = SHIFT_M) -> RigidMotion:
    """The same view from a little further ahead."""
    pose = view.pose.copy()
    pose[:3, 3] += metres * pose[:3, 2]
    return replace(view, pose=pose)


def image_parity(
    one: SceneBackend,
    other: SceneBackend,
    camera: Camera,
    views: Sequence[RigidMotion],
    others: Sequence[RigidMotion] | None = None,
) -> ImageParity:
    """Compare what both render of the same views, all pixels pooled.

    Args:
        one: A backend.
        other: Another one, of the same scene.
        camera: The camera.
        views: Its motions.
        others: Its motions in the other backend, if they differ.
    """
    differences, close, rgb = [], [], []
    for here, there in zip(views, others or views, strict=True):
        a, b = one.render(camera, here), other.render(camera, there)
        relative = np.abs(a.depth - b.depth) / np.maximum(b.depth, 1e-9)
        both = (a.depth > 0) & (b.depth > 0)
        differences.append(relative[both])
        close.append(np.where(both, relative <= 0.01, (a.depth > 0) == (b.depth > 0)).mean())
        rgb.append(np.abs(a.rgb.astype(int) - b.rgb).mean())
    pooled = np.concatenate(differences)
    return ImageParity(float(np.median(pooled)), float(np.mean(close)), float(np.mean(rgb)))


class Ways(Protocol):
    """What measures geodesic distances."""

    def distance_field(self, goal: NDArray[np.float64], body: RobotBody) -> DistanceField:
        """See ``SceneBackend``."""
        ...


def way_differences(
    one: Ways, other: SceneBackend, count: int, rng: np.random.Generator, body: RobotBody = ROVER
) -> NDArray[np.float64]:
    """Relative differences (N,) of geodesic distances above 1 m between ``count`` random places.

    A way that only one of the two has counts as ``inf``.
    """
    places = other.sample_free(rng, body, count)
    found = []
    for goal in places:
        a, b = (measure.distance_field(goal, body)(places) for measure in (one, other))
        apart = np.linalg.norm(places - goal, axis=1) > 1
        neither = ~np.isfinite(a) & ~np.isfinite(b)
        with np.errstate(invalid="ignore"):
            found.append(np.where(neither, 0, np.abs(a - b) / b)[apart])
    return np.nan_to_num(np.concatenate(found), nan=np.inf)


def plot_parity(
    one: SceneBackend, other: SceneBackend, camera: Camera, view: RigidMotion, path: Path
) -> None:
    """Write a picture of both renderers' colours and the relative difference of their depths.

    ``lag_plot.check_plot`` says whether it can be written.
    """
    import matplotlib.pyplot as plt

    a, b = one.render(camera, view), other.render(camera, view)
    both = (a.depth > 0) & (b.depth > 0)
    percent = np.where(both, 100 * np.abs(a.depth - b.depth) / np.maximum(b.depth, 1e-9), np.nan)
    figure, axes = plt.subplots(1, 3, figsize=(10, 2.8), layout="constrained")
    for axis, image, title in zip(axes, (a.rgb, b.rgb), ("habitat", "raycast"), strict=False):
        axis.imshow(image)
        axis.set_title(title)
    shown = axes[2].imshow(np.maximum(percent, 1e-4), norm="log", vmin=1e-4, vmax=10, cmap="magma")
    axes[2].set_title("difference of depth, %")
    figure.colorbar(shown, ax=axes[2])
    for axis in axes:
        axis.set_axis_off()
    figure.savefig(path, dpi=80)
    plt.close(figure)
