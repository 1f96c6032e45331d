"""What the camera of an environment records: along an agent's episode, or along an open-loop trajectory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym
import numpy as np

from asyncmde_sim.agents import agent_for
from asyncmde_sim.envs.trajectories import aggressive, expert, smooth_random
from asyncmde_sim.recordings.recording import RGB, Depth, Pose
from asyncmde_sim.scenes.camera import RigidMotion

TRAJECTORIES: dict[str, Callable[..., list[RigidMotion]]] = {
    "smooth": smooth_random,
    "expert": expert,
    "aggressive": aggressive,
}
MOTIONS = ("agent", *TRAJECTORIES)

Frame = tuple[int, RGB, Depth, Pose]
"""Capture time in nanoseconds, image (H, W, 3), depth (H, W) metres with 0 for none, 4x4 T_world_camera."""


def check_motion(motion: str) -> None:
    """Check that there is such a motion.

    Raises:
        ValueError: There is not; the message says which there are.
    """
    if motion not in MOTIONS:
        raise ValueError(f"unknown motion {motion!r}: choose one of {', '.join(MOTIONS)}")


def frames_along(env: gym.Env[Any, Any], motion: str, seed: int, most: int) -> Iterator[Frame]:
    """At most ``most`` frames, one a control step.

    Args:
        env: Environment that yields true depth.
        motion: ``agent``: one episode of the environment's usual agent, among whatever moves there; or an
            open-loop trajectory in the scene that the episode of this seed has, with nothing else moving:
            ``smooth``, ``expert`` or ``aggressive``.
        seed: Decides scene and motion.
        most: Bound on the number of frames.

    Raises:
        ValueError: ``motion`` is unknown, ``most`` is not positive, or the scene has no room.
    """
    check_motion(motion)
    if most < 1:
        raise ValueError(f"most is {most}, but a recording has at least 1 frame")
    fresh = env.reset(seed=seed)
    plain: Any = env.unwrapped
    if motion == "agent":
        yield from _episode(env, fresh, agent_for(env), seed, most)
        return
    rng = np.random.default_rng(seed)
    for index, camera_motion in enumerate(TRAJECTORIES[motion](plain.backend, plain.robot, rng, most)):
        rendering = plain.backend.render(plain.robot.camera, camera_motion, (), rng)
        yield index * plain.robot.control_dt_ns, rendering.rgb, rendering.depth, camera_motion.pose


def _episode(
    env: gym.Env[Any, Any], fresh: tuple[dict[str, Any], dict[str, Any]], agent: Any, seed: int, most: int
) -> Iterator[Frame]:
    observation, info = fresh
    agent.reset(seed=seed)
    for _ in range(most):
        yield info["time_ns"], observation["image"], info["true_depth"], info["T_world_camera"]
        observation, _, terminated, truncated, info = env.step(agent.act(observation))
        if terminated or truncated:
            return
