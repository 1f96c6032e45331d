"""An episode run again for the report: its video, and what the robot saw when it went wrong."""

from __future__ import annotations

import io
import tempfile
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from asyncmde_sim.evaluation.records import AGES, Row
from asyncmde_sim.evaluation.replay import past_episode_of, replay
from asyncmde_sim.evaluation.report.hardest import HardEpisode
from asyncmde_sim.evaluation.rollout import Rollout, Watcher
from asyncmde_sim.evaluation.suite import Results
from asyncmde_sim.evaluation.video import VideoLog, colour_depth, colour_trust, outcome

AGE_NAMES = {"depth_age_s": "depth age", "content_age_s": "content age", "refresh_age_s": "lag"}
BEFORE_S = 1.0
"""How long before the end the other moment is."""


@dataclass(frozen=True)
class Moment:
    """What there was at one step.

    Args:
        title: When it was.
        panels: Pictures by their titles, each a PNG or JPEG; None where there was nothing to show.
        figures: Numbers and words by their names.
    """

    title: str
    panels: dict[str, bytes | None]
    figures: dict[str, str]


@dataclass(frozen=True)
class Scene:
    """One of the hardest episodes.

    Args:
        episode: Which one.
        steps: Its rows of the step table.
        outcome: How it ended.
        moments: A second before its end, and its end; empty if it could not be run again.
        video: MP4; None if there is none.
        note: What is to be said about the run, in a sentence; None if nothing.
    """

    episode: HardEpisode
    steps: list[Row]
    outcome: str
    moments: tuple[Moment, ...]
    video: bytes | None
    note: str | None


def show(results: Results, episode: HardEpisode) -> Scene:
    """Run an episode again; one that cannot be run becomes a scene with a note."""
    past = past_episode_of(results, episode.cell, episode.seed)
    steps = past.steps.to_pylist()
    ended = "arrived" if past.row["success"] else "collided" if past.row["collided"] else "out of time"
    moments = MomentLog()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "video.mp4"

        def watchers(rollout: Rollout) -> list[Watcher]:
            robot = rollout.env.unwrapped.robot  # type: ignore[attr-defined]
            moments.far_m = robot.camera.max_range_m
            return [VideoLog(file, robot.control_dt_ns, robot.camera.max_range_m, 1, columns=2), moments]

        try:
            note = replay(past, watchers)
        except Exception as error:  # the report is worth writing without this episode
            return Scene(episode, steps, ended, (), None, f"it could not be run again: {error}")
        return Scene(episode, steps, ended, moments.moments, file.read_bytes(), note)


class MomentLog:
    """Keeps the last second of an episode, and makes two moments of it.

    ``far_m`` is the far end of the depth scale, metres.
    """

    def __init__(self, far_m: float = 20.0) -> None:
        self.far_m = far_m
        self.moments: tuple[Moment, ...] = ()

    def begin(self, episode: int, observation: Mapping[str, Any], info: Mapping[str, Any]) -> None:
        """Start an episode."""
        self._last = deque([(observation, info)])

    def step(self, observation: Mapping[str, Any], info: Mapping[str, Any], row: Mapping[str, Any]) -> None:
        """Keep a step, and drop what is more than a second older."""
        self._last.append((observation, info))
        while info["time_ns"] - self._last[0][1]["time_ns"] > 1e9 * BEFORE_S:
            self._last.popleft()

    def end(self, row: Mapping[str, Any]) -> None:
        """Make the moments."""
        (_, first), (_, last) = self._last[0], self._last[-1]
        seconds = (last["time_ns"] - first["time_ns"]) / 1e9
        titles = (f"{seconds:.1f} s before", f"the end: {outcome(last)}")
        shown = (self._last[0], self._last[-1])
        self.moments = tuple(
            _moment(title, *moment, self.far_m) for title, moment in zip(titles, shown, strict=True)
        )

    def close(self) -> None:
        """Nothing is open."""


def _moment(title: str, observation: Mapping[str, Any], info: Mapping[str, Any], far_m: float) -> Moment:
    has_depth, trust = bool(observation["has_depth"]), info.get("trust_map")
    panels = {
        "camera": _picture(observation["image"], "JPEG"),
        "estimated depth": _picture(colour_depth(observation["depth"], far_m)) if has_depth else None,
        "true depth": _picture(colour_depth(info["true_depth"], far_m)),
        "memory trust": None if trust is None else _picture(colour_trust(trust)),
    }
    figures = {
        "time": f"{info['time_ns'] / 1e9:.2f} s",
        "speed": f"{info['speed']:.2f} m/s",
        "clearance": f"{info['clearance']:.2f} m",
    }
    if has_depth:
        for age in AGES:
            figures[AGE_NAMES[age]] = f"{1e3 * float(observation[age.removesuffix('_s')][0]):.0f} ms"
    if trust is not None:
        figures["trust"] = f"{float(observation['trust'][0]):.2f}"
    scores = info.get("depth_scores", {})
    for score, words in (("abs_rel", "AbsRel, model"), ("streaming_abs_rel", "AbsRel, streaming")):
        if score in scores:
            figures[words] = f"{scores[score]:.3f}"
    return Moment(title, panels, figures)


def _picture(pixels: NDArray[np.uint8], form: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form, quality=88, optimize=True)
    return file.getvalue()
