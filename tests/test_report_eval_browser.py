"""The page of an evaluation in a browser: what is drawn is what was found, names are text, nothing is fetched."""

from pathlib import Path

import ase.io
import pytest
from ase.build import molecule
from browser import chromium
from test_eval import PLANTED, dataset, labelled
from test_report_browser import column, errors, requests, show

from mlip_design.cli import main


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


def page_of(frames, folder: Path, *words: str) -> Path:
    """The page of some frames."""
    ase.io.write(folder / "data & <more>.xyz", frames, format="extxyz")
    out = folder / "out"
    assert main(["eval", PLANTED, str(folder / "data & <more>.xyz"), "--out", str(out), *words]) == 0
    return out / "report.html"


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    """Of a few structures, some without a prediction."""
    return page_of(dataset(), tmp_path_factory.mktemp("few"), "--calculator-args", "fail=29")


@pytest.fixture(scope="module")
def crowded(tmp_path_factory) -> Path:
    """Of more force components than are drawn one by one."""
    frames = [labelled(molecule("C2H6"), seed) for seed in range(90)]
    return page_of(frames, tmp_path_factory.mktemp("many"))


def test_it_renders_without_errors_and_network(driver, page):
    show(driver, page)
    assert errors(driver) == [] and requests(driver) == [page.as_uri()]
    headings = [element.text for element in driver.find_elements("css selector", "h2")]
    assert headings == ["Errors", "Parity", "Elements", "The worst", "Without a prediction: 1"]
    for plot in driver.find_elements("css selector", ".plot"):
        assert plot.rect["width"] > 400 and plot.rect["height"] > 300


def test_points_are_the_structures_and_the_force_components(driver, page):
    show(driver, page)
    n_atoms = sum(len(atoms) for atoms in dataset()[:-1])
    for name, count in (("energies", 10), ("forces", 3 * n_atoms)):
        assert len(driver.find_elements("css selector", f"#{name} .scatterlayer .point")) == count
    assert len(driver.find_elements("css selector", "#elements .barlayer .point")) == 2 * 3
    assert len(driver.find_elements("css selector", "#groups .barlayer .point")) == 2 * 2
    assert not driver.find_elements("id", "stresses")


def test_tables_name_groups_and_reasons_as_text(driver, page):
    show(driver, page)
    assert column(driver, "config_type")[:3] == ["all", "cold & <wet>", "hot"]
    assert column(driver, "element") == ["H", "C", "O"]
    assert "no convergence" in column(driver, "why it has no prediction")[0]
    assert len(driver.find_elements("css selector", "h1 more, td wet, p more")) == 0


def test_many_points_are_a_density_on_which_all_are_counted(driver, crowded):
    show(driver, crowded)
    assert errors(driver) == []
    script = """
      const trace = document.getElementById('forces')._fullData[0];
      return [trace.type, trace.z.flat().filter(z => z !== null).reduce((sum, z) => sum + 10 ** z, 0)];
    """
    kind, count = driver.execute_script(script)
    assert kind == "heatmap" and round(count) == 90 * 8 * 3
    assert not driver.find_elements("id", "groups")
