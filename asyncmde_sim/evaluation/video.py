"""The video of a rollout: camera, estimated depth, true depth and memory trust, with the ages drawn in."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

PANEL_HEIGHT = 240
HEADER = 24
LINE = 20
GAP = 4
PARTS_A_LINE = {4: 5, 2: 3}
"""Numbers beside each other in the footer, by columns of panels."""
FOOTER_PARTS = 5
"""The most numbers about the robot, and about its depth."""
BACKGROUND = (18, 20, 24)
TEXT = (230, 232, 236)
NEAR_M = 0.3
MAX_FPS = 30

_DEPTH_RAMP = ((255, 244, 180), (253, 160, 60), (205, 50, 85), (95, 25, 125), (20, 15, 60))
_TRUST_RAMP = ((60, 10, 70), (35, 90, 150), (60, 180, 130), (235, 240, 150))
_NONE = (52, 54, 60)
_FAINT = (130, 134, 142)


def colour_depth(depth: NDArray[np.float32], far_m: float) -> NDArray[np.uint8]:
    """Depth (H, W) in metres as colours (H, W, 3): near is bright, far is dark, none is grey.

    The scale is logarithmic from 0.3 m to ``far_m``.
    """
    position = np.log(np.maximum(depth, NEAR_M) / NEAR_M) / math.log(far_m / NEAR_M)
    colours = _ramp(_DEPTH_RAMP, position)
    colours[depth <= 0] = _NONE
    return colours


def colour_trust(trust: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Trust (h, w) in [0, 1] as colours (h, w, 3): dark where the memory was given up, light where kept."""
    return _ramp(_TRUST_RAMP, trust)


class VideoFrames:
    """Composes frames of a constant size.

    Args:
        image_shape: Height and width of the camera's image.
        far_m: Far end of the depth scale, metres.
        columns: How many of the four panels stand beside each other, 4 or 2.
    """

    def __init__(self, image_shape: tuple[int, int], far_m: float, columns: int = 4) -> None:
        height, width = image_shape
        self._panel = (2 * round(PANEL_HEIGHT * width / height / 2), PANEL_HEIGHT)
        self._far_m = far_m
        self._columns, self._parts = columns, PARTS_A_LINE[columns]
        self._font = ImageFont.load_default(size=14)
        rows, lines = 4 // columns, 2 * math.ceil(FOOTER_PARTS / self._parts)
        self._footer = rows * (HEADER + PANEL_HEIGHT)
        self.size = (columns * self._panel[0] + (columns - 1) * GAP, self._footer + 8 + LINE * lines)
        self._blank = Image.new("RGB", self.size, BACKGROUND)
        titles = ("camera", f"estimated depth, {NEAR_M:g} to {far_m:g} m", "true depth now", "memory trust T")
        draw = ImageDraw.Draw(self._blank)
        for index, title in enumerate(titles):
            left, top = self._corner(index)
            draw.text((left + 6, top - HEADER + 4), title, TEXT, self._font)

    def _corner(self, index: int) -> tuple[int, int]:
        """Left and top of a panel."""
        row, column = divmod(index, self._columns)
        return column * (self._panel[0] + GAP), row * (HEADER + PANEL_HEIGHT) + HEADER

    def compose(
        self, observation: Mapping[str, Any], info: Mapping[str, Any], caption: str = ""
    ) -> NDArray[np.uint8]:
        """One frame (height, width, 3) of what a step returned; ``caption`` leads the footer."""
        canvas = self._blank.copy()
        draw = ImageDraw.Draw(canvas)
        has_depth = bool(observation["has_depth"])
        trust = info.get("trust_map")
        panels = (
            (observation["image"], ""),
            (colour_depth(observation["depth"], self._far_m) if has_depth else None, "no estimate yet"),
            (colour_depth(info["true_depth"], self._far_m), ""),
            (None if trust is None else colour_trust(trust), "no memory"),
        )
        for index, (pixels, missing) in enumerate(panels):
            left, top = self._corner(index)
            if pixels is None:
                middle = (left + self._panel[0] // 2, top + PANEL_HEIGHT // 2)
                draw.text(middle, missing, _FAINT, self._font, anchor="mm")
                continue
            smooth = Image.Resampling.BILINEAR if index == 0 else Image.Resampling.NEAREST
            canvas.paste(Image.fromarray(pixels).resize(self._panel, smooth), (left, top))
        lines = math.ceil(FOOTER_PARTS / self._parts)
        for group, parts in enumerate(_footer(observation, info, caption)):
            for number, part in enumerate(parts):
                line, column = divmod(number, self._parts)
                height = self._footer + 5 + LINE * (group * lines + line)
                draw.text((6 + column * self.size[0] // self._parts, height), part, TEXT, self._font)
        return np.asarray(canvas)


class VideoWriter:
    """Encodes frames with H.264 as MP4.

    Args:
        path: File to write.
        size: Width and height of the frames, even numbers.
        fps: Frames per second of the video.

    ``broken`` is true once a frame could not be written: the file is worth nothing then.
    """

    def __init__(self, path: Path, size: tuple[int, int], fps: float) -> None:
        self._encoder: Generator[None, Any, None] = imageio_ffmpeg.write_frames(
            path,
            size,
            fps=fps,
            codec="libx264",
            quality=None,
            macro_block_size=2,
            ffmpeg_log_level="error",
            output_params=["-crf", "23", "-preset", "veryfast", "-threads", "1", "-movflags", "+faststart"],
        )
        self._encoder.send(None)
        self.broken = False

    def add(self, frame: NDArray[np.uint8], times: int = 1) -> None:
        """Append a frame (height, width, 3)."""
        data = np.ascontiguousarray(frame)
        try:
            for _ in range(times):
                self._encoder.send(data)
        except BaseException:
            self.broken = True
            raise

    def close(self) -> None:
        """Finish the file."""
        self._encoder.close()


class VideoLog:
    """Writes ``video.mp4`` of the first episodes, in real time; nothing is written if none of them ends.

    Args:
        path: File to write; it is in its place only when it is whole.
        control_dt_ns: Time between steps.
        far_m: Far end of the depth scale, metres.
        episodes: How many episodes to show.
        columns: How many of the four panels stand beside each other, 4 or 2.
    """

    def __init__(self, path: Path, control_dt_ns: int, far_m: float, episodes: int, columns: int = 4) -> None:
        self._path = path
        self._temporary = path.with_name(f".{path.name}.part.mp4")
        self._stride = max(1, round(1e9 / control_dt_ns / MAX_FPS))
        self._fps = 1e9 / control_dt_ns / self._stride
        self._far_m = far_m
        self._left = episodes
        self._columns = columns
        self._ended = 0
        self._writer: VideoWriter | None = None

    def begin(self, episode: int, observation: Mapping[str, Any], info: Mapping[str, Any]) -> None:
        """Start an episode."""
        if self._writer is None and self._left:
            self._frames = VideoFrames(observation["image"].shape[:2], self._far_m, self._columns)
            self._writer = VideoWriter(self._temporary, self._frames.size, self._fps)
        self._episode, self._steps = episode, 0
        self._show(observation, info)

    def step(self, observation: Mapping[str, Any], info: Mapping[str, Any], row: Mapping[str, Any]) -> None:
        """Show every ``stride``-th step and the last one."""
        self._steps += 1
        if "episode_metrics" in info:
            self._show(observation, info, times=round(self._fps))
        elif self._steps % self._stride == 0:
            self._show(observation, info)

    def end(self, row: Mapping[str, Any]) -> None:
        """End an episode; after the last one to show, the file is finished."""
        self._ended += 1
        self._left = max(0, self._left - 1)
        if not self._left:
            self.close()

    def close(self) -> None:
        """Finish the file if it holds a whole episode, else leave none."""
        if self._writer is None:
            return
        writer, self._writer = self._writer, None
        writer.close()
        if self._ended and not writer.broken:
            self._temporary.replace(self._path)
        self._temporary.unlink(missing_ok=True)

    def _show(self, observation: Mapping[str, Any], info: Mapping[str, Any], times: int = 1) -> None:
        if self._writer is not None:
            caption = f"episode {self._episode + 1}  {outcome(info)}"
            self._writer.add(self._frames.compose(observation, info, caption), times)


def outcome(info: Mapping[str, Any]) -> str:
    """One word for how things stand: arrived, collided, late, or nothing while the episode runs."""
    if info["success"]:
        return "arrived"
    if info["collided"]:
        return "collided"
    return "late" if "episode_metrics" in info else ""


def _task_line(info: Mapping[str, Any]) -> str:
    if "coverage" in info:
        return f"{info['coverage']:.0%} of the floor seen"
    return f"to goal {info['distance_to_goal']:.2f} m"


def _footer(
    observation: Mapping[str, Any], info: Mapping[str, Any], caption: str
) -> tuple[list[str], list[str]]:
    state = [
        caption,
        f"time {info['time_ns'] / 1e9:.2f} s",
        f"speed {info['speed']:.2f} m/s",
        f"clearance {info['clearance']:.2f} m",
        _task_line(info),
    ]
    depth = []
    if observation["has_depth"]:
        for name in ("depth", "content", "refresh"):
            depth.append(f"{name} age {1e3 * float(observation[f'{name}_age'][0]):.0f} ms")
    scores = info.get("depth_scores")
    if scores:
        depth.append(f"AbsRel model {scores['abs_rel']:.3f}")
        depth.append(f"AbsRel streaming {scores['streaming_abs_rel']:.3f}")
    return state, depth


def _ramp(anchors: tuple[tuple[int, int, int], ...], position: NDArray[np.floating]) -> NDArray[np.uint8]:
    stops = np.linspace(0, 255, len(anchors))
    table = np.stack(
        [np.interp(np.arange(256), stops, channel) for channel in zip(*anchors, strict=True)], -1
    )
    index = (255 * np.clip(position, 0, 1)).astype(np.uint8)
    return table.round().astype(np.uint8)[index]
