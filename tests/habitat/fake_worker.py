"""A worker without Habitat-Sim: the real protocol loop around a simulator that casts rays.

``FAKE_HABITAT`` makes it fail: ``OP=die`` ends the process in the middle of that request, ``OP=stop`` freezes
it, ``start=missing`` finds no simulator.
"""

from __future__ import annotations

import base64
import os
import signal
import time
from typing import Any

import numpy as np

from asyncmde_sim.scenes import load_backend
from asyncmde_sim.scenes.backend import Mover, RobotBody
from asyncmde_sim.scenes.camera import Camera, RigidMotion
from asyncmde_sim.scenes.habitat import worker
from asyncmde_sim.scenes.mesh_io import Z_UP_FROM_Y_UP as TO_OURS

FLIP = np.diag([1.0, -1.0, -1.0, 1.0])


def stumble(op: str) -> None:
    """Fail as told."""
    where, _, how = os.environ.get("FAKE_HABITAT", "").partition("=")
    if where != op:
        return
    if how == "missing":
        raise worker.Refusal("no simulator here", "import")
    os.kill(os.getpid(), signal.SIGKILL if how == "die" else signal.SIGSTOP)


class FakeSimulator:
    """Answers as ``worker.HabitatSimulator`` does, with the raycast backend."""

    version = "fake"

    def __init__(self) -> None:
        stumble("start")
        self._bodies: dict[str, RobotBody] = {}

    def map(self, memory: Any) -> None:
        self._memory = memory

    def load(self, scene: str, dataset: str | None, z_up: bool, gpu: int) -> dict[str, Any]:
        stumble("load")
        if dataset is not None:
            if scene != "apartment":
                raise worker.Refusal(f"the dataset has no scene {scene!r}: it has apartment")
            scene = os.path.join(os.path.dirname(dataset), "apartment.glb")
        self._backend = load_backend(scene)
        pose = {"rotation": [1.0, 0.0, 0.0, 0.0], "translation": [0.0, 0.0, 0.0]}
        return {
            "parts": []
            if dataset is None
            else [{"filepath": scene, "pose": pose, "frame": None, "scale": [1.0] * 3}]
        }

    def camera(self, width: int, height: int, hfov_deg: float, frames: int) -> None:
        stumble("camera")
        self._camera = Camera(width, height, np.radians(hfov_deg), max_range_m=1000.0)
        self._rgba, self._depth = worker.frame_views(self._memory, width, height, frames)

    def render(self, files: list[str], frames: list[dict[str, Any]]) -> None:
        stumble("render")
        kinds = [os.path.basename(file).split(".")[0] for file in files]
        for frame in frames:
            eye = TO_OURS @ np.array(frame["camera"]) @ FLIP
            things = [
                Mover(kind, RigidMotion(TO_OURS @ np.array(pose) @ np.linalg.inv(TO_OURS)))
                for kind, pose in zip(kinds, frame["objects"], strict=True)
            ]
            seen = self._backend.render(self._camera, RigidMotion(eye), things)
            if frame["slot"] is not None:
                self._rgba[frame["slot"]][::-1, :, :3] = seen.rgb
            if frame["depth"]:
                self._depth[::-1] = seen.depth

    def time_renders(self, requests: list[dict[str, Any]], seconds: float) -> None:
        """Renders for so long: Python that lets the heart beat."""
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            for request in requests:
                self.render(**request)

    def navmesh(self, name: str, settings: dict[str, Any], file: str | None) -> None:
        stumble("navmesh")
        self._bodies[name] = RobotBody(settings["agent_radius"], settings["agent_height"])

    def raster(self, navmesh: str, height_m: float, step_m: float, slack_m: float) -> dict[str, Any]:
        body = self._bodies[navmesh]
        low, high = self._backend.bounds
        x, y = (np.arange(a, b, step_m) for a, b in zip(low[:2], high[:2], strict=True))
        places = np.stack(np.meshgrid(x, y[::-1]), axis=-1).reshape(-1, 2)
        feet = np.column_stack([places, np.full(len(places), height_m)])
        space = self._backend.space(body)
        index = np.floor((feet[:, :2] - space.origin) / space.cell_m).astype(int)
        inside = ((index >= 0) & (index < space.gap_m.shape)).all(axis=1)
        on = np.zeros(len(feet), bool)
        on[inside] = space.gap_m[tuple(index[inside].T)] == 0
        bits = base64.b64encode(np.packbits(on).tobytes()).decode()
        return {"corner": [float(x[0]), float(-y[-1])], "shape": [len(y), len(x)], "bits": bits}

    def snap(self, navmesh: str, points: list[list[float]]) -> list[list[float]]:
        return points

    def close(self) -> None:
        pass


if __name__ == "__main__":
    worker.serve(FakeSimulator)
