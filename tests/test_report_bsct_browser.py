"""Pages of BSCT results and of comparisons in a browser: plots, sorting, filters, a click that shows a scan."""

from pathlib import Path

import pytest
from browser import chromium
from test_bsct_compare import drawn, results_of
from test_report_browser import click, column, errors, requests, show, wait
from test_report_bsct import FAILED, facts_of, scored  # noqa: F401

from mlip_design.cli import main


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture
def page(driver, scored) -> Path:  # noqa: F811
    """The page of a result, opened."""
    path = scored / "report.html"
    show(driver, path)
    return path


@pytest.fixture(scope="module")
def comparison(tmp_path_factory) -> Path:
    """The page of three models, the first and the last equal."""
    folder = tmp_path_factory.mktemp("compared")
    results = results_of(folder, *drawn(5, -8.0), drawn(5, 0.0)[0])
    assert main(["compare", *results, "--out", str(folder / "a & b")]) == 0
    return folder / "a & b" / "report.html"


def caption(driver) -> str:
    """What stands above the chosen scan."""
    return driver.find_element("css selector", ".chosen figcaption").text


def lines(driver, plot: str) -> list[int]:
    """Numbers of corners of the curves of a plot."""
    script = """
      const paths = [...document.querySelector(arguments[0]).querySelectorAll('.scatterlayer .js-line')];
      return paths.map(path => path.getAttribute('d').length);
    """
    return driver.execute_script(script, plot)


def test_a_result_renders_without_errors_and_network(driver, page):
    assert errors(driver) == []
    assert requests(driver) == [page.as_uri()]
    assert driver.execute_script("return document.querySelectorAll('td svg, li svg').length") == 0


def test_plots_of_a_result_show_their_data(driver, page):
    n_scored = facts_of(page.parent)["count"]
    assert len(driver.find_elements("css selector", "#bonds .boxlayer .point")) == n_scored
    assert len(driver.find_elements("css selector", "#bonds .scatterlayer .point")) == 2 * n_scored
    assert len(driver.find_elements("css selector", "#errors .scatterlayer .point")) == 2 * n_scored
    for plot in driver.find_elements("css selector", ".plot"):
        assert plot.rect["width"] > 450 and plot.rect["height"] > 400
    assert len(driver.find_elements("css selector", ".gallery figure")) == n_scored
    assert len(lines(driver, ".chosen")) == 7 and min(lines(driver, ".chosen")) > 10
    texts = [text.text for text in driver.find_elements("css selector", ".chosen .annotation-text")]
    assert any(text.startswith("steepest, ") for text in texts) and any("equilibrium" in text for text in texts)


def test_the_worst_scan_is_shown_first_and_another_at_a_click_in_the_table(driver, page):
    facts = facts_of(page.parent)
    assert caption(driver).startswith(f"{facts['worst'][0]}: FSD")
    before = lines(driver, ".chosen")
    driver.find_element("link text", facts["worst"][-1]).click()
    wait(driver, lambda: caption(driver).startswith(f"{facts['worst'][-1]}: FSD"))
    assert lines(driver, ".chosen") != before
    top = "return document.querySelector('.chosen').getBoundingClientRect().top"
    assert 0 <= driver.execute_script(top) < 100
    assert errors(driver) == []


def test_a_failed_scan_says_why(driver, page):
    driver.find_element("link text", FAILED).click()
    wait(driver, lambda: caption(driver).startswith(FAILED))
    assert "SCF not converged" in caption(driver)
    assert not [
        t for t in driver.find_elements("css selector", ".chosen .annotation-text") if "steepest" in t.text
    ]
    assert errors(driver) == []


def test_a_click_on_a_point_shows_its_scan(driver, page):
    from selenium.webdriver import ActionChains

    place = driver.find_elements("css selector", "#errors .scatterlayer .trace")[-1]
    point = place.find_element("css selector", ".point")
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", point)
    ActionChains(driver).move_to_element(point).pause(0.3).click().perform()
    last = max(facts_of(page.parent)["bonds"])
    wait(driver, lambda: caption(driver).startswith(last))


def test_a_scan_can_be_linked_to(driver, scored):  # noqa: F811
    name = facts_of(scored)["worst"][1]
    driver.get("about:blank")
    driver.get(f"{(scored / 'report.html').as_uri()}#{name}")
    wait(driver, lambda: caption(driver).startswith(f"{name}: FSD"))


def test_systems_sort_and_filter(driver, page):
    worst = facts_of(page.parent)["worst"]
    tables = driver.find_elements("css selector", "table")
    place = next(i for i, table in enumerate(tables) if "steepest at" in table.text)
    assert column(driver, "system") == [FAILED, *worst]
    click(driver, place, "FSD full")
    assert column(driver, "system") == [*worst[::-1], FAILED]
    click(driver, place, "system")
    assert column(driver, "system") == sorted([FAILED, *worst])
    box = driver.find_element("css selector", ".systems input[type=search]")
    box.send_keys("not converged")
    assert column(driver, "system") == [FAILED]


def test_dark_ground_reaches_the_scans(driver, scored):  # noqa: F811
    colour = "return getComputedStyle(document.querySelector('.chosen .xtitle')).fill"
    found = []
    for scheme in ("light", "dark"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        show(driver, scored / "report.html")
        wait(driver, lambda: driver.execute_script(colour) != "rgb(68, 68, 68)")
        found.append(driver.execute_script(colour))
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert found[0] != found[1]


def test_a_comparison_renders_and_shows_its_data(driver, comparison):
    show(driver, comparison)
    assert errors(driver) == []
    assert requests(driver) == [comparison.as_uri()]
    assert len(driver.find_elements("css selector", "#differences .scatterlayer .point")) == 2 * 6
    assert len(driver.find_elements("css selector", "#differences .errorbar")) == 2 * 6
    assert len(driver.find_elements("css selector", "#systems .scatterlayer .point")) == 2 * 40
    assert column(driver, "verdict")[:2] == ["lower", "unclear"]
    assert column(driver, "than 1") == ["–", "100.0", "50.0"]


def test_a_difference_is_drawn_where_it_is(driver, comparison):
    """Equal models lie at 0; what is lower lies left of it, with its whole interval."""
    show(driver, comparison)
    script = """
      const plot = document.getElementById('differences'), x = plot._fullLayout.xaxis;
      return plot._fullData.map(trace => [trace.x[0], trace.error_x.array[0], trace.error_x.symmetric]);
    """
    (lower, above, symmetric), (equal, *_) = driver.execute_script(script)
    assert lower + above < 0 and equal == 0 and not symmetric
