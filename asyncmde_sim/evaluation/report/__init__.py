"""The report of a suite: a page for a colleague, and Markdown for a paper.

Needs the ``report`` extra.
"""

from asyncmde_sim.evaluation.report.write import check_report, write_report

__all__ = ["check_report", "write_report"]
