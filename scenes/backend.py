"""What every scene backend answers: images, depth, clearance, free space and geodesic distance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.scenes.camera import Camera, RigidMotion


@dataclass(frozen=True)
class RobotBody:
    """The volume a robot sweeps: an upright cylinder on the floor, or a sphere in the air.

    Args:
        radius_m: Radius of the cylinder or sphere.
        height_m: Height of the cylinder above the floor; ignored for a sphere.
        flies: Whether the body is a sphere that moves freely in three dimensions.
    """

    radius_m: float
    height_m: float = 0.0
    flies: bool = False

    def __post_init__(self) -> None:
        if not self.radius_m > 0:
            raise ValueError(f"radius_m is {self.radius_m}, but a body needs a positive radius")
        if not self.flies and not self.height_m > 0:
            raise ValueError(f"height_m is {self.height_m}, but a body on the floor needs a positive height")


@dataclass(frozen=True)
class Mover:
    """A moving object of one frame: which mesh it is and how it moves.

    Args:
        kind: Name of the mesh (``asyncmde_sim.scenes.generate.movers.MOVER_KINDS``).
        motion: Its pose and velocity; the mesh stands on its origin, x forward, z up.
    """

    kind: str
    motion: RigidMotion


@dataclass(frozen=True)
class Rendering:
    """One rendered frame: ``rgb`` (H, W, 3) uint8 and planar ``depth`` (H, W) float32 metres, 0 for none.

    With motion blur, the depth of a pixel is that of the middle of its row's exposure.
    """

    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32]


class DistanceField(Protocol):
    """Geodesic distance from anywhere to one goal, for one body."""

    def __call__(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Distances (N,) in metres from points (N, 3); ``inf`` where there is no way."""
        ...


class SceneBackend(Protocol):
    """One loaded scene. The world is z up, in metres."""

    name: str
    bounds: NDArray[np.float64]
    """Axis-aligned bounds, (2, 3)."""

    @property
    def floor_m(self) -> float:
        """Height of the floor in the world, metres."""
        ...

    @property
    def planner(self) -> SceneBackend:
        """What plans routes of moving objects: alike for every renderer, so that a seed means the same."""
        ...

    def render(
        self,
        camera: Camera,
        motion: RigidMotion,
        movers: Sequence[Mover] = (),
        rng: np.random.Generator | None = None,
    ) -> Rendering:
        """Render the camera moving by ``motion`` (reference instant: middle of the exposure).

        ``rng`` draws the sensor noise and is required when ``camera.noise_std`` > 0.
        """
        ...

    def clearance(
        self, points: NDArray[np.float64], body: RobotBody, movers: Sequence[Mover] = ()
    ) -> NDArray[np.float64]:
        """Distance in metres (N,) from the body's surface at ``points`` (N, 3) to the nearest surface.

        ``points`` is the foot of a cylinder or the centre of a sphere. Zero or less is a collision.
        """
        ...

    def sample_free(
        self, rng: np.random.Generator, body: RobotBody, count: int, margin_m: float = 0.1
    ) -> NDArray[np.float64]:
        """Random positions (count, 3) of the body in the largest connected free space, ``margin_m`` clear.

        Raises:
            ValueError: The scene has no free space for this body.
        """
        ...

    def distance_field(self, goal: NDArray[np.float64], body: RobotBody) -> DistanceField:
        """The geodesic distance to ``goal`` (3,) for this body."""
        ...

    def range_along(
        self, origins: NDArray[np.float64], directions: NDArray[np.float64], movers: Sequence[Mover] = ()
    ) -> NDArray[np.float64]:
        """Distance (N,) in metres from origins (N, 3) along unit directions (N, 3); ``inf`` for a miss."""
        ...

    def close(self) -> None:
        """Release what renders for the caller alone; the backend cannot be used any more."""
        ...
