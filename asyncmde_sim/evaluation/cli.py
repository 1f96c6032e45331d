"""The command line of a rollout: every refusal is one sentence on stderr and exit code 2."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
from rich.console import Console

from asyncmde_sim.evaluation.command_line import INTERRUPTED, REFUSED, parse, sentence, stop_signals
from asyncmde_sim.evaluation.config import RolloutConfig
from asyncmde_sim.evaluation.console import Progress, summary_table
from asyncmde_sim.evaluation.map_log import MapLog
from asyncmde_sim.evaluation.output import (
    check_folder,
    describe,
    discard_folder,
    open_folder,
    weights_record,
    write_results,
)
from asyncmde_sim.evaluation.remote_log import RemoteLog
from asyncmde_sim.evaluation.rerun_log import RerunLog, check_rerun
from asyncmde_sim.evaluation.rollout import Results, Rollout, Watcher, prepare, run
from asyncmde_sim.evaluation.video import VideoLog
from asyncmde_sim.scenes.habitat.client import WorkerLostError

VIDEO_EPISODES = 3
LOST = 1
"""Exit code when a remote device, or the renderer, has gone for good."""

DESCRIPTION = """Fly or drive episodes with the depth that a device would have delivered in time.

examples:

  python scripts/rollout.py
      one episode of ExtremeMotion-v0, asynchronous depth on a Jetson's latencies
  python scripts/rollout.py --depth oracle --latency-ms 250
      the same with true depth that is a quarter of a second old
  python scripts/rollout.py --env IndoorDynamic-v0 --device orin-torch --refresh every-9 --episodes 20
      among people, a slower device, a refresh every nine frames
  python scripts/rollout.py --env IndoorStatic-v0 --scene my_flat.glb --rerun
      in a scene of your own, with a recording for the Rerun viewer
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    That is 0, 2 for a refusal, 130 after Ctrl-C, 1 when a remote device or the renderer has gone for good.
    """
    try:
        config = parse(RolloutConfig, DESCRIPTION, arguments)
        check_folder(config.out_dir, config.overwrite)
        if config.rerun:
            check_rerun()
        weights = weights_record(config)
        rollout = prepare(config, config.seed)
        config = dataclasses.replace(config, agent=rollout.agent_name)
        open_folder(config.out_dir, describe(config, _robot(rollout), weights))
    except (ValueError, OSError, ImportError, gym.error.Error) as error:
        if isinstance(error, ImportError) and error.name:
            raise  # a broken installation, not a missing extra that the message names
        print(sentence(error), file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        print("Interrupted before the first step: nothing was written.", file=sys.stderr)
        return INTERRUPTED
    return _run(config, rollout)


def _run(config: RolloutConfig, rollout: Rollout) -> int:
    folder, results = config.out_dir, Results()
    summary: dict[str, Any] | None = None
    remote: RemoteLog | None = None
    lost: str | None = None
    told: list[str] = []
    maps = MapLog(folder, rollout.env, rollout.agent) if hasattr(rollout.agent, "map") else None
    with stop_signals() as stops:
        try:
            remote = RemoteLog(rollout.source, config.depth, folder)
            watchers = [*_watchers(config, rollout), *([] if maps is None else [maps])]
            run(rollout, config.episodes, config.seed, results, watchers, lambda: bool(stops))
        except KeyboardInterrupt:
            pass  # the second signal: the episode is given up at once
        except (ConnectionError, WorkerLostError) as error:
            lost = sentence(error)
        finally:
            rollout.env.close()
            told = [] if remote is None else remote.finish()
            told += [] if maps is None else maps.finish()
            if results.episode_rows:
                summary = write_results(results, folder)
            else:
                discard_folder(folder)
    if summary is not None:
        Console().print(summary_table(config, summary))
        for line in told:
            print(line)
        print(f"Results: {folder}")
    for gone in results.lost:
        print(f"Lost: {gone}", file=sys.stderr)
    if not stops and lost is None:
        return 0
    ended = f"{len(results.episode_rows)} of {config.episodes} episodes had ended"
    print(f"{lost or 'Interrupted'}: {ended}{'' if summary else ', nothing was written'}.", file=sys.stderr)
    return 128 + stops[0] if stops else LOST


def _watchers(config: RolloutConfig, rollout: Rollout) -> list[Watcher]:
    robot, folder = _robot(rollout), config.out_dir
    watchers: list[Watcher] = [Progress(Console(stderr=True), config.episodes)]
    if config.video:
        shown = min(VIDEO_EPISODES, config.episodes)
        watchers.append(VideoLog(folder / "video.mp4", robot.control_dt_ns, robot.camera.max_range_m, shown))
    if config.rerun:
        watchers.append(RerunLog(folder / "recording.rrd", robot.camera, rollout.agent))
    return watchers


def _robot(rollout: Rollout) -> Any:
    return rollout.env.unwrapped.robot  # type: ignore[attr-defined]
