"""Sentences that a report's page and its Markdown share."""

from __future__ import annotations

from asyncmde_sim.evaluation.report.hardest import HardEpisode
from asyncmde_sim.evaluation.suite import Results

HEADLINE = (
    "Success, and the depth that it was had with. δ1 is the share of pixels within a factor of 1.25 of the "
    "truth: of the frame that the estimate describes, and <em>now</em>, when the robot acts. Content age "
    "counts from the capture of the frame behind the last refresh, lag from when that refresh landed."
)
SPEED = (
    "The highest top speed at which success stays at {success:g} or more, among the speeds that were tried. "
    "Its interval, by bootstrap of the seeds, lies among these, too."
)
DEVICE = "Lines join one source on several devices; dotted lines are sources that run on none."
AGE = "Means over episodes of each one's steps in a bin of age, with 95 % intervals."
ERROR = (
    "On the line, depth is as good when the robot acts as for its own frame. Above it, time has cost the "
    "difference."
)
LOSS = (
    "What success loses against true depth, on the same seeds: with the source's error but no delay, with "
    "true depth but the source's delay, and what only both together lose. Left of zero it has gained."
)
WORK = "How often the slow path ran in a second of simulated time."
HARDEST = "Where the robot fails in the most cells, controls left out."
AGAIN = (
    "Each was run again with the same seed and config: of the cells where it fails, the one that succeeds "
    "most often on other seeds."
)
FAILED = (
    "The other cells went on. Episodes from before a failure are kept and counted; scripts/evaluate.py "
    "--retry-failed runs the rest."
)
INTERVALS = (
    "Rates have 95 % Wilson intervals; differences are paired by seed, with 95 % bootstrap intervals. One "
    "without width says that all of these episodes agree, not that others would: see how many they are."
)


def about(results: Results) -> str:
    """How much was run."""
    cells, seeds = (len(results.episodes[name].unique()) for name in ("cell", "seed"))
    suite = results.suite
    ran = (_count(results.episodes.num_rows, "episode"), _count(cells, "cell"), _count(seeds, "seed"))
    made = (
        _count(len(suite.environments), "environment"),
        _count(len(suite.depth), "depth source"),
        _count(len(suite.devices), "device"),
    )
    return f"{ran[0]} in {ran[1]}, on {ran[2]}: {', '.join(made)}."


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def unfinished(results: Results) -> list[str]:
    """What is missing, one sentence each."""
    status = [results.status(key) for key in results.cells]
    lines = []
    if status.count("running"):
        lines.append(f"{status.count('running')} of {len(status)} cells have not all of their episodes yet.")
    if status.count("failed"):
        lines.append(f"{status.count('failed')} of {len(status)} cells failed; their tracebacks are below.")
    return lines


def hard_episode_name(episode: HardEpisode) -> str:
    """Which episode it is."""
    return f"{episode.environment}, seed {episode.seed}"


def hardness(episode: HardEpisode) -> str:
    """How hard an episode is."""
    truth = {None: "", True: " True depth arrived.", False: " True depth failed, too."}
    return f"Failed in {episode.failed} of {episode.ran} cells.{truth[episode.truth_arrived]}"


def machine_lines(results: Results) -> list[str]:
    """The machines that took part."""
    lines = []
    for machine in results.machines:
        parts = {name.replace("_", " "): value for name, value in machine.items() if name != "versions"}
        hardware = (f"{name} {value or 'none'}" for name, value in parts.items())
        versions = (f"{name} {version}" for name, version in machine["versions"].items())
        lines.append(f"{', '.join(hardware)}; {', '.join(versions)}")
    return lines
