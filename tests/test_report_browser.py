"""The pages in a browser: they render without errors or network, tables sort and filter, a point opens its run."""

import json
from pathlib import Path

import pytest
import tiny_run
from browser import chromium
from test_report_sweep import HOSTILE, POINTS, write_sweep

from mlip_design.report.write import write_reports

PLOTS = ("pareto", "importance", "parallel", "seeds")


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture(scope="module")
def sweep(tmp_path_factory) -> Path:
    """The page of a sweep, in a folder whose name needs quoting."""
    folder = write_sweep(tmp_path_factory.mktemp("sweeps") / "a sweep & more")
    return write_reports(folder)[-1]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """The page of a tiny run with hostile overrides."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    tiny_run.run([*tiny_run.inputs(), "trainer.max_epochs=1"], folder)
    record = json.loads((folder / "results.json").read_text())
    record["overrides"].append(HOSTILE)
    (folder / "results.json").write_text(json.dumps(record))
    return write_reports(folder)[0]


def show(driver, page: Path) -> None:
    """Open a page, with the logs of earlier ones dropped, and wait for its plots."""
    driver.get_log("browser"), driver.get_log("performance")
    driver.get(page.as_uri())
    script = "return [...document.querySelectorAll('.plot')].every(plot => plot.querySelector('svg') && plot.on)"
    wait(driver, lambda: driver.execute_script(script))


def wait(driver, is_done) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(driver, 30).until(lambda _: is_done())


def errors(driver) -> list[str]:
    """What the console holds against a page."""
    return [entry["message"] for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]


def requests(driver) -> list[str]:
    """Addresses that were asked for, the data within pages and the browser's own parts left out."""
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    urls = [
        event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"
    ]
    return [url for url in urls if not url.startswith(("data:", "blob:", "chrome:"))]


def column(driver, heading: str, place: int = 0) -> list[str]:
    """The visible cells below a heading of the `place`-th table that has it."""
    script = """
      const [heading, place] = arguments;
      const names = table => [...table.tHead.rows[0].cells].map(cell => cell.querySelector('button').textContent);
      const table = [...document.querySelectorAll('table')].filter(table => names(table).includes(heading))[place];
      const rows = [...table.tBodies[0].rows].filter(row => !row.hidden);
      return rows.map(row => row.cells[names(table).indexOf(heading)].textContent);
    """
    return driver.execute_script(script, heading, place)


def click(driver, place: int, heading: str) -> None:
    """Click on a heading of the `place`-th table of the page."""
    buttons = driver.find_elements("css selector", "table")[place].find_elements("css selector", "th button")
    next(button for button in buttons if button.text.startswith(heading)).click()


@pytest.mark.parametrize("name", ["sweep", "run"])
def test_renders_without_errors_and_network(driver, request, name):
    page = request.getfixturevalue(name)
    show(driver, page)
    assert errors(driver) == []
    assert requests(driver) == [page.as_uri()]


def test_errors_and_requests_are_seen(driver, tmp_path):
    """A page that is wrong on purpose."""
    page = tmp_path / "wrong.html"
    page.write_text("<link rel=icon href=data:,><img src=missing.png><script>undefinedName()</script>")
    show(driver, page)
    assert any("undefinedName" in message for message in errors(driver))
    assert len(requests(driver)) == 2


def test_plots_show_their_data(driver, sweep):
    show(driver, sweep)
    for plot in PLOTS:
        box = driver.find_element("id", plot).rect
        assert box["width"] > 800 and box["height"] > 150, plot
    assert len(driver.find_elements("css selector", "#pareto .scatterlayer .point")) >= len(POINTS) + 10
    assert len(driver.find_elements("css selector", "#importance .bars .point")) == 4
    texts = {element.text for element in driver.find_elements("css selector", "#parallel text")}
    assert {*POINTS, "model", "width"} <= texts
    assert len(driver.find_elements("css selector", "#seeds .scatterlayer .point")) == 2 * (len(POINTS) + 10)


def test_curves_of_a_run_are_drawn(driver, run):
    show(driver, run)
    (svg,) = driver.find_elements("css selector", ".curves svg")
    assert svg.rect["width"] > 800 and svg.rect["height"] > 200
    assert all(
        driver.execute_script("return arguments[0].naturalWidth", image) > 500
        for image in driver.find_elements("css selector", "figure img")
    )
    assert driver.execute_script("return document.querySelectorAll('h1 script, h1 b').length") == 0


def test_tables_sort(driver, sweep):
    show(driver, sweep)
    heads = driver.find_elements("css selector", "table")
    place = next(i for i, head in enumerate(heads) if "beaten by" in head.text)
    ascending = [f"{y:.1f}" for y in sorted(y for _, y in POINTS.values())]
    assert column(driver, "val FSD", 1) != ascending
    click(driver, place, "val FSD")
    assert column(driver, "val FSD", 1) == ascending
    click(driver, place, "val FSD")
    assert column(driver, "val FSD", 1) == ascending[::-1]
    click(driver, place, "variant")
    assert column(driver, "val FSD", 1) == [f"{y:.1f}" for _, y in POINTS.values()]


def test_tables_filter(driver, sweep):
    show(driver, sweep)
    box = driver.find_element("css selector", "input[type=search]")
    box.send_keys("front WIDTH=1")
    assert column(driver, "marks") == ["front epsilon", "front"]
    assert "2 of 5" in driver.find_element("css selector", "output").text
    box.clear()
    box.send_keys("nothing at all")
    assert column(driver, "marks") == []


def test_a_click_on_a_point_opens_its_run(driver, sweep):
    from selenium.webdriver import ActionChains

    show(driver, sweep)
    point = driver.find_elements("css selector", "#pareto .scatterlayer .trace")[2].find_elements(
        "css selector", ".point"
    )[1]
    ActionChains(driver).move_to_element(point).pause(0.3).click().perform()
    expected = (sweep.parent / "2" / "report.html").as_uri()
    wait(driver, lambda: driver.current_url == expected)
    assert "model=b" in driver.find_element("css selector", "h1").text


def test_a_name_in_the_table_opens_its_run(driver, sweep):
    show(driver, sweep)
    driver.find_element("link text", "model=c width=1").click()
    wait(driver, lambda: driver.current_url == (sweep.parent / "4" / "report.html").as_uri())


def test_light_and_dark(driver, sweep):
    """Text of the page and of its plots stands out from the ground in both."""
    for scheme in ("light", "dark"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        show(driver, sweep)
        colour = "return getComputedStyle(arguments[0])[arguments[1]]"
        body = driver.find_element("css selector", "body")
        title = driver.find_element("css selector", "#pareto .xtitle")
        wait(driver, lambda: luminance(driver.execute_script(colour, title, "fill")) != luminance("rgb(0, 0, 0)"))  # noqa: B023
        ground = luminance(driver.execute_script(colour, body, "backgroundColor"))
        for element, name in ((body, "color"), (title, "fill")):
            ink = luminance(driver.execute_script(colour, element, name))
            assert (max(ground, ink) + 0.05) / (min(ground, ink) + 0.05) > 7, (scheme, name)
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def luminance(colour: str) -> float:
    """Relative luminance of `rgb(r, g, b)`, as WCAG defines it."""
    parts = [int(part) / 255 for part in colour.removeprefix("rgb(").removesuffix(")").split(",")[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
