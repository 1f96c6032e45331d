"""Export the depth networks to ONNX, checked against torch on a clip of 30 frames.

Examples:

    python scripts/export.py --precision int8                   # what rollouts use on a CPU
    python scripts/export.py --weights runs/weights             # all three precisions
    python scripts/rollout.py --engine onnx-fp32
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from asyncmde_sim.depth.weights_folder import find_weights, read_config
from asyncmde_sim.evaluation.command_line import run_command
from asyncmde_sim.evaluation.depth_accuracy import recorded_sequence
from asyncmde_sim.recordings import open_recording
from asyncmde_sim.runtime.engines.export import (
    CLIP_FRAMES,
    TOLERANCES,
    Image,
    check_libraries,
    export_networks,
)
from asyncmde_sim.runtime.engines.onnx_file import OUTPUTS, onnx_file
from asyncmde_sim.runtime.engines.spec import EXPORTED_PRECISIONS, Precision
from asyncmde_sim.training.clips import read_shard
from asyncmde_sim.training.render import render_all, render_jobs

CLIPS_A_REGIME = 2


@dataclass(frozen=True)
class Export:
    """Write the slow path, its decoder, the fast path and the fast path without memory.

    Args:
        weights: Name or folder of weights of ours; the shipped ones by default.
        precision: Which to write: fp32, fp16, int8 (8-bit convolutions, for CPUs).
        recordings: Folders of recordings whose frames the exports are checked on and that int8 takes the
            ranges of values from; by default clips rendered from training scenes. The first needs 30 frames.
        out: Folder to write to; that of the weights by default, where --engine looks.
        seed: Draws the clips.
    """

    weights: str | None = None
    precision: tuple[Precision, ...] = EXPORTED_PRECISIONS
    recordings: tuple[Path, ...] = ()
    out: Path | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.precision:
            raise ValueError(f"no precision is given: choose among {', '.join(EXPORTED_PRECISIONS)}")
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}, but it must not be negative")

    def run(self) -> None:
        """Write everything, a precision at a time."""
        check_libraries()
        folder = find_weights(self.weights)
        read_config(folder)
        out = self.out or folder
        console = Console(stderr=True)
        clips = list(self._clips(console))
        table = Table("precision", "network", "MB", "mean", "worst frame", "allowed", box=box.SIMPLE_HEAD)
        for precision in self.precision:
            with console.status(f"{precision}: exporting, then {CLIP_FRAMES} frames beside torch"):
                checks = export_networks(folder, out, precision, clips)
            differences = {check.network: check.differences for check in checks}
            for network in OUTPUTS:
                megabytes = onnx_file(out, network, precision).stat().st_size / 1e6
                row = [precision, network, f"{megabytes:.1f}"]
                if network in differences:
                    mean, worst = differences[network].mean(), differences[network].max()
                    row += [f"{mean:.1e}", f"{worst:.1e}", f"{TOLERANCES[precision]:.0e}"]
                table.add_row(*row)
        print(f"Depth beside torch in float32: mean relative difference, {CLIP_FRAMES} frames, two refreshes")
        Console(width=80).print(table)
        print(f"written to {out}")

    def _clips(self, console: Console) -> Iterator[Sequence[Image]]:
        if self.recordings:
            for folder in self.recordings:
                yield recorded_sequence(open_recording(folder), console.print).images
            return
        with tempfile.TemporaryDirectory() as temporary:
            jobs = render_jobs("train", 1, CLIPS_A_REGIME, CLIP_FRAMES, self.seed, Path(temporary))
            render_all(jobs, workers=2)
            for job in jobs:
                yield from read_shard(Path(temporary), job.name).images


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the script."""
    return run_command(Export, Export.run, __doc__, arguments)


if __name__ == "__main__":
    sys.exit(main())
