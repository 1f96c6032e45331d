"""What a rollout keeps of the maps that its agent builds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from asyncmde_sim.agents import Agent
from asyncmde_sim.envs.state import inverse_pose
from asyncmde_sim.evaluation.map_picture import errors_of, write_mesh
from asyncmde_sim.evaluation.map_scores import KEYFRAME_S, make_reference, score_map
from asyncmde_sim.evaluation.records import write_json
from asyncmde_sim.evaluation.tracks import as_trimesh, seen_track
from asyncmde_sim.recordings.recording import RGB, Depth, Pose


class MapLog:
    """Scores the agent's map at the end of each episode and writes ``maps.json`` and the last map's files.

    A map is compared with what the robot's camera could truly have seen on its way; see ``map_scores``.

    Args:
        folder: The rollout's folder.
        env: The environment, of one of the project's robots.
        agent: It has a ``map`` in its odometry frame.
    """

    def __init__(self, folder: Path, env: gym.Env[Any, Any], agent: Agent) -> None:
        self._folder = folder
        self._plain: Any = env.unwrapped
        self._agent: Any = agent
        self.rows: list[dict[str, Any]] = []

    def begin(self, episode: int, observation: Mapping[str, Any], info: Mapping[str, Any]) -> None:
        """Start an episode."""
        self._frames: list[tuple[int, RGB, Depth, Pose]] = []
        self._T_world_odometry = info["T_world_camera"] @ inverse_pose(info["T_odometry_camera"])
        self._see(observation, info)

    def step(self, observation: Mapping[str, Any], info: Mapping[str, Any], row: Mapping[str, Any]) -> None:
        """Keep what the camera sees, a few times a second."""
        if info["time_ns"] - self._frames[-1][0] >= KEYFRAME_S * 1e9 - 1000:
            self._see(observation, info)

    def end(self, row: Mapping[str, Any]) -> None:
        """Score the map of the episode."""
        robot, built = self._plain.robot, self._agent.map
        track = seen_track(f"episode {row['episode']}", robot.camera.pinhole, iter(self._frames))
        mesh = as_trimesh(self._plain.backend.planner.mesh)
        reference = make_reference(track, built.config.max_range_m, mesh)
        shown = built.mesh().apply_transform(self._T_world_odometry)
        scores = score_map(shown, reference, robot.body.radius_m)
        about = {name: row[name] for name in ("episode", "seed", "scene")}
        self.rows.append({**about, **scores, "memory_mb": built.memory_mb, "estimates": built.frames})
        write_json({"maps": self.rows}, self._folder / "maps.json")
        if len(shown.faces):
            write_mesh(shown, errors_of(shown, reference), self._folder, "map")

    def close(self) -> None:
        """Nothing is left to do."""

    def finish(self) -> list[str]:
        """A line on the maps."""
        if not self.rows:
            return []
        f, accuracy = ([row[name] for row in self.rows] for name in ("f_5cm", "accuracy_m"))
        there = [value for value in accuracy if value is not None]
        error = f"{100 * np.mean(there):.1f} cm from the truth" if there else "empty"
        return [f"maps: F {np.mean(f):.3f} at 5 cm, {error} (maps.json, map.ply)"]

    def _see(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> None:
        self._frames.append(
            (int(info["time_ns"]), observation["image"], info["true_depth"], info["T_world_camera"])
        )
