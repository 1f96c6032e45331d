"""Suites: environments, depth sources, devices and agents, run on the same seeds, and their results."""

from asyncmde_sim.evaluation.suite.cells import Cell
from asyncmde_sim.evaluation.suite.findings import headline, loss_split
from asyncmde_sim.evaluation.suite.results import Results, load_results
from asyncmde_sim.evaluation.suite.speed import safe_speed
from asyncmde_sim.evaluation.suite.suite import Suite, load_suite

__all__ = ["Cell", "Results", "Suite", "headline", "load_results", "load_suite", "loss_split", "safe_speed"]
