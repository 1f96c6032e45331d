"""The page in a real browser: Debian's chromium, or what the variable CHROMIUM names."""

import numpy as np
import pytest
from PIL import Image

from asyncmde_sim.evaluation.bench_report import (
    DRAWN,
    PHONE,
    WINDOW,
    browser_page,
)

CHARTS = ("chart-speed", "chart-device", "chart-age", "chart-error", "chart-loss", "chart-work")


@pytest.fixture(scope="module", params=["window", "phone"])
def opened(request, report, browser):
    """The page, drawn, with what its console said."""
    touch = {"device_scale_factor": 2, "is_mobile": True, "has_touch": True}
    size, options = (WINDOW, {}) if request.param == "window" else (PHONE, touch)
    with browser_page(size, **options) as page:
        said, asked = [], []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(report.as_uri())
        page.wait_for_selector(DRAWN, state="attached")
        page.said, page.asked = said, asked
        yield page


def redrawn(page):
    page.wait_for_selector(DRAWN, state="attached")


def test_every_chart_is_drawn_without_an_error_or_a_request(opened):
    for name in CHARTS:
        plots = opened.locator(f"#{name} .plot")
        assert plots.count() == 2  # one for each environment
        for plot in plots.all():
            assert plot.locator(".trace, .bars .point").count() > 0
            box = plot.locator(".main-svg").first.bounding_box()
            assert box["width"] > 250 and box["height"] > 100
    assert opened.said == []
    assert [url for url in opened.asked if not url.startswith(("file:", "data:"))] == []


def test_nothing_is_wider_than_the_screen(opened):
    width, inside = opened.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert width == inside == opened.viewport_size["width"]


def test_a_picture_of_it_is_not_blank(opened, tmp_path):
    opened.screenshot(path=tmp_path / "report.png", full_page=True)
    with Image.open(tmp_path / "report.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(float)
    assert pixels.std() > 20 and pixels.mean() > 200  # a light page with something on it


def test_a_point_says_what_it_is(opened):
    point = opened.locator("#chart-device .plot").first.locator(".point").first
    point.scroll_into_view_if_needed()
    box = point.bounding_box()
    place = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    if opened.evaluate("matchMedia('(pointer: coarse)').matches"):
        opened.touchscreen.tap(*place)
    else:
        opened.mouse.move(*place)
    label = opened.locator("#chart-device .hovertext").first
    label.wait_for()
    assert "success 0." in label.text_content() and "8 episodes" in label.text_content()


def test_a_chip_takes_its_cells_out_of_charts_and_tables_and_back(opened):
    def fits():
        sizes = (
            "div => { const svg = div.querySelector('.main-svg');"
            " return [svg.clientWidth - div.clientWidth, svg.clientHeight - div.clientHeight] }"
        )
        plots = opened.locator(".panel:not([hidden]) .plot").all()
        return all(plot.evaluate(sizes) == [0, 0] for plot in plots)

    def count():
        rows = opened.locator("tr[data-cell]:not([hidden])").count()
        return rows, opened.locator("#chart-error .point").count()

    before = count()
    chip = opened.locator(".chip", has_text="foundation")
    chip.click()
    redrawn(opened)
    fewer = count()
    assert 0 < fewer[0] < before[0] and 0 < fewer[1] < before[1]
    assert chip.get_attribute("aria-pressed") == "false" and fits()
    chip.click()
    redrawn(opened)
    assert count() == before and fits()


def test_an_environment_that_is_hidden_leaves_no_panel(opened):
    chip = opened.locator(".chip", has_text="ExtremeMotion-v0")
    chip.click()
    redrawn(opened)
    assert [panel.is_visible() for panel in opened.locator("#chart-age .panel").all()] == [True, False]
    chip.click()
    redrawn(opened)
    assert [panel.is_visible() for panel in opened.locator("#chart-age .panel").all()] == [True, True]


def test_a_choice_changes_the_axis_and_the_values(opened):
    plot = opened.locator("#chart-age .plot").first

    def values():
        return plot.evaluate(
            "div => [div.layout.xaxis.title.text, div.layout.yaxis.title.text, div.data[0].y]"
        )

    before = values()
    opened.select_option("select[data-choice=age]", "refresh_age_s")
    opened.select_option("select[data-choice=score]", "abs_rel")
    redrawn(opened)
    after = values()
    assert before[0] == "content age, ms" and after[0] == "lag since the refresh, ms"
    assert before[1].startswith("δ1") and after[1].startswith("AbsRel") and before[2] != after[2]
    opened.select_option("select[data-choice=age]", "content_age_s")
    opened.select_option("select[data-choice=score]", "streaming_delta1")
    redrawn(opened)
    assert values() == before
