from asyncmde_sim.evaluation.bench_report import open_seconds


def test_a_report_can_be_read_before_its_charts_are_drawn(report, browser):
    read_s, drawn_s = open_seconds(report)
    assert 0 < read_s < drawn_s
