"""A training that was interrupted, however, goes on from its checkpoint, bit for bit."""

import json
import shutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import torch

from asyncmde_sim.depth.weights import NETWORKS, load_network
from asyncmde_sim.depth.weights_folder import find_weights
from asyncmde_sim.training import loop
from asyncmde_sim.training.checkpoint import Checkpoint, Position, tensorboard_log
from asyncmde_sim.training.data import Batch, ClipPool
from asyncmde_sim.training.loop import Schedule, optimise

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture
def folder(tmp_path: Path, write_tiny_shards) -> Path:
    write_tiny_shards(tmp_path, clips=3)
    return tmp_path


@pytest.fixture(autouse=True)
def reports_at_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "REPORT_EVERY_S", 0.0)


class Interrupted(Exception):
    pass


def train_two_phases(folder: Path, checkpoint: Checkpoint, model: torch.nn.Module, stop_at: int = -1) -> None:
    """Two phases of four steps, the gradient of each depending on the batch and on what the step draws."""
    steps = 0

    def loss_of(batch: Batch, rng: torch.Generator) -> torch.Tensor:
        nonlocal steps
        if steps == stop_at:
            raise Interrupted
        steps += 1
        out = model(torch.rand(3, 4, generator=rng))
        return (out * batch.depth.mean() + batch.images.mean()).square().mean()

    pool = ClipPool(folder / "views")
    for phase in ("first", "second"):
        schedule, parameters = Schedule(4, 2, 0.1), model.parameters()
        optimise(phase, parameters, partial(pool.draw, 2), loss_of, schedule, 5, checkpoint)


@pytest.mark.parametrize("stop_at", [1, 3, 4, 5, 6])
def test_a_training_that_was_interrupted_goes_on_bit_for_bit(folder: Path, stop_at: int) -> None:
    def new_model() -> torch.nn.Linear:
        torch.manual_seed(0)
        return torch.nn.Linear(4, 2)

    whole, part, resumed = new_model(), new_model(), torch.nn.Linear(4, 2)
    train_two_phases(folder, Checkpoint({"net": whole}), whole)
    file = folder / "out" / "checkpoint.pt"
    with pytest.raises(Interrupted):
        train_two_phases(folder, Checkpoint({"net": part}, file), part, stop_at)
    assert not torch.equal(part.weight, whole.weight)
    train_two_phases(folder, Checkpoint({"net": resumed}, file, resume=True), resumed)
    assert torch.equal(resumed.weight, whole.weight) and torch.equal(resumed.bias, whole.bias)
    once_more = torch.nn.Linear(4, 2)
    train_two_phases(folder, Checkpoint({"net": once_more}, file, resume=True), once_more, stop_at=0)
    assert torch.equal(once_more.weight, whole.weight)


def test_what_cannot_be_gone_on_from_is_refused(folder: Path) -> None:
    file, model = folder / "checkpoint.pt", torch.nn.Linear(4, 2)
    with pytest.raises(FileNotFoundError, match="leave out --resume"):
        Checkpoint({"net": model}, file, resume=True)
    train_two_phases(folder, Checkpoint({"net": model}, file), model)
    with pytest.raises(ValueError, match="no checkpoint of other"):
        Checkpoint({"other": model}, file, resume=True)
    optimiser = torch.optim.AdamW(model.parameters())
    with pytest.raises(ValueError, match="knows no phase 'third'"):
        Checkpoint({"net": model}, file, resume=True).enter("third", optimiser)
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ValueError, match="cannot be read"):
        Checkpoint({"net": model}, file, resume=True)


def test_a_full_disk_leaves_the_last_checkpoint(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, model = folder / "checkpoint.pt", torch.nn.Linear(4, 2)
    checkpoint = Checkpoint({"net": model}, file)
    optimiser = torch.optim.AdamW(model.parameters())
    checkpoint.enter("first", optimiser)
    checkpoint.save(Position(1, 2.0), optimiser)
    before = file.read_bytes()

    def fail(state: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save(Position(2, 3.0), optimiser)
    assert file.read_bytes() == before and len(list(folder.iterdir())) == 3


def test_what_is_reported_is_what_tensorboard_reads(folder: Path, tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    weight = torch.nn.Parameter(torch.ones(()))
    checkpoint = Checkpoint({}, log=tensorboard_log(tmp_path / "logs"))
    draw = partial(ClipPool(folder / "views").draw, 1)
    optimise(
        "gates",
        [weight],
        draw,
        lambda batch, rng: weight.square(),
        Schedule(3, 1, 0.1),
        0,
        checkpoint,
    )
    events = accumulator.EventAccumulator(str(tmp_path / "logs"))
    events.Reload()
    losses = events.Scalars("gates/loss")
    assert [event.step for event in losses] == [1, 2, 3]
    assert losses[0].value == 1 and losses[-1].value < 1
    assert events.Scalars("gates/learning_rate")[-1].value == 0


SAVES_AT_EVERY_STEP = """
import sys
sys.path.insert(0, sys.argv.pop(1))
import train_depth
from asyncmde_sim.training import loop
loop.REPORT_EVERY_S = 0.0
sys.exit(train_depth.main())
"""


@pytest.mark.parametrize("command", ["fast", "joint"])
def test_the_real_script_killed_while_it_writes_a_checkpoint_goes_on_as_if_it_had_not_been(
    folder: Path, command: str
) -> None:
    schedule = {"steps": 2, "batch": 1, "learning_rate": 1e-4}
    (folder / "recipe.json").write_text(json.dumps(dict.fromkeys(("gates", "fast", "joint"), schedule)))

    def start(out: Path, *options: str) -> subprocess.Popen[bytes]:
        arguments = ["-c", SAVES_AT_EVERY_STEP, str(SCRIPTS), command, "--device", "cpu", *options]
        arguments += ["--folder", str(folder), "--out", str(out), "--recipe", str(folder / "recipe.json")]
        return subprocess.Popen([sys.executable, *arguments])

    def half_written() -> list[Path]:
        return list(killed.glob(f".checkpoint-{command}-*"))

    whole, killed = folder / "whole", folder / "killed"
    for out in (whole, killed):
        shutil.copytree(find_weights(None), out)
    assert start(whole).wait() == 0
    checkpoint = killed / f"checkpoint-{command}.pt"
    training = start(killed)
    while not (checkpoint.exists() and half_written()):
        assert training.poll() is None
        time.sleep(0.001)
    training.kill()
    training.wait()
    assert half_written()
    torch.load(checkpoint, weights_only=True)
    for network in NETWORKS:
        load_network(network, killed)
    assert start(killed, "--resume").wait() == 0
    assert not half_written()
    for network in NETWORKS:
        name = f"{network}.safetensors"
        assert (killed / name).read_bytes() == (whole / name).read_bytes(), network
