"""`mlip-design probe`: what it prints, its exit status, its JSON, and one line for bad input."""

import json

import ase.io
import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.lj import LennardJones

from mlip_design import cli
from mlip_design.potential import UnknownElementError

TRUNCATED = ["ase.calculators.lj:LennardJones", "--calculator-args", "sigma=1.0", "epsilon=1.0", "rc=2.5"]


class Failing(Calculator):
    """No answer for O-H below 0.8 Å, or NaN."""

    implemented_properties = ("energy", "forces")

    def __init__(self, nan: bool = False):
        super().__init__()
        self.nan = nan

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        """See ASE."""
        super().calculate(atoms, properties, system_changes)
        short = atoms.get_distance(0, 1) < 0.8
        if short and not self.nan:
            raise RuntimeError("SCF did not converge")
        self.results = {"energy": 0.0, "forces": np.full((3, 3), np.nan if short else 0.0)}


class Partial(LennardJones):
    """Smooth, and without fluorine."""

    def __init__(self):
        super().__init__(sigma=1.0, rc=2.5, ro=1.7, smooth=True)

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        """See ASE."""
        if "F" in atoms.symbols:
            raise UnknownElementError("element F is unknown to this potential")
        super().calculate(atoms, properties, system_changes)


def smooth() -> LennardJones:
    """Lennard-Jones that is switched off smoothly."""
    return LennardJones(sigma=1.0, rc=2.5, ro=1.7, smooth=True)


@pytest.fixture
def water(tmp_path):
    """A file."""
    ase.io.write(tmp_path / "water.xyz", molecule("H2O"))
    return str(tmp_path / "water.xyz")


@pytest.fixture
def several(tmp_path):
    """A file of HF, H2O, H2O2."""
    ase.io.write(tmp_path / "several.xyz", [molecule(name) for name in ("HF", "H2O", "H2O2")])
    return str(tmp_path / "several.xyz")


def test_a_calculator_that_jumps_has_status_1(water, capsys, tmp_path):
    file = tmp_path / "found.json"
    arguments = ["--structure", water, "--path", "cutoff", "--json", str(file)]
    assert cli.main(["probe", *TRUNCATED, *arguments]) == 1
    printed = capsys.readouterr().out
    assert "1 jump and no kinks along 1 path of 1 structure, " in printed
    (path,) = json.loads(file.read_text())["structures"][0]["paths"]
    (jump,) = path["jumps"]
    assert jump["energy_jump"] < 1e-9  # ASE shifts it
    assert jump["force_jump"] == pytest.approx(0.0551535899, abs=1e-6)
    assert f"{jump['coordinate']:.6f}" in printed


def test_a_smooth_calculator_has_status_0(water, capsys):
    assert (
        cli.main(["probe", "test_probe_cli:smooth", "--structure", water, "--path", "bond:0,1", "angle:1,0,2"])
        == 0
    )
    printed = capsys.readouterr().out
    assert "no jumps and " in printed
    assert "angle 1-0-2" in printed


@pytest.mark.parametrize("nan", [False, True])
def test_a_path_without_answer_is_named_and_others_go_on(water, capsys, nan):
    model = ["test_probe_cli:Failing", "--calculator-args", f"nan={nan}"]
    assert cli.main(["probe", *model, "--structure", water, "--path", "bond:0,1", "angle:1,0,2"]) == 1
    printed = capsys.readouterr().out
    assert f"not probed: {water}, frame 0 H2O, bond 0-1" in printed
    assert ("not finite" if nan else "SCF did not converge") in printed
    assert "no jumps and no kinks along 1 path of 1 structure" in printed


def test_a_path_that_one_structure_lacks_is_named_and_others_go_on(several, capsys, tmp_path):
    file = tmp_path / "found.json"
    words = ["--structure", several, "--path", "bond:0,1", "angle:0,1,2", "--json", str(file)]
    assert cli.main(["probe", "test_probe_cli:smooth", *words]) == 1
    printed = capsys.readouterr().out
    reason = "needs 3 different atoms from 0 to 1"
    assert f"not probed: {several}, frame 0 HF, angle:0,1,2: {reason}\n" in printed
    assert "along 5 paths of 3 structures" in printed
    failures = [one["failures"] for one in json.loads(file.read_text())["structures"]]
    assert failures == [{"angle:0,1,2": reason}, {}, {}]


def test_a_structure_of_unknown_elements_is_named_and_others_go_on(several, capsys):
    words = ["--structure", several, "--path", "bond:0,1"]
    assert cli.main(["probe", "test_probe_cli:Partial", *words]) == 1
    printed = capsys.readouterr().out
    assert f"not probed: {several}, frame 0 HF, all: element F is unknown" in printed
    assert "along 2 paths of 3 structures" in printed


def test_a_cutoff_beyond_the_usual_range_is_reached_where_it_is_known(tmp_path, capsys):
    ase.io.write(tmp_path / "argon.xyz", ase.Atoms("Ar2", [[0.0, 0.0, 0.0], [3.8, 0.0, 0.0]]))
    words = ["ase.calculators.lj:LennardJones", "--calculator-args", "sigma=3.4", "rc=10.2"]
    words += ["--structure", str(tmp_path / "argon.xyz"), "--path", "cutoff"]
    assert cli.main(["probe", *words]) == 0
    printed = capsys.readouterr().out
    assert "2 to 8" in printed and "not seen: a cutoff outside the ranges of the cutoff paths" in printed
    assert cli.main(["probe", *words, "--cutoff", "10.2"]) == 1
    printed = capsys.readouterr().out
    assert "2 to 10.5" in printed and "10.200000" in printed and "--cutoff" not in printed
    assert cli.main(["probe", "outputs/run", *words[-4:], "--cutoff", "10.2"]) == 2
    assert "outputs/run is a checkpoint, which has its own" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--path", "bnd:0,1"], "did you mean 'bond'"),
        (["--path", "bond:0,7"], "needs 2 different atoms from 0 to 2"),
        (["--path", "torsion"], "no 4 atoms bonded in a row"),
        (["--max-evaluations", "10"], "max_evaluations = 10"),
        (["--structure", "nowhere.xyz"], "nowhere.xyz: no such file"),
        (["--calculator-args", "rc"], "not of the form key=value"),
        (["--json", "/nowhere/x.json"], "--json: /nowhere/x.json cannot be a file"),
        (["--dtype", "float32"], "--device, --dtype: ase.calculators.lj:LennardJones is a calculator"),
        (["--device", "cuda"], "is a calculator; tell it by --calculator-args"),
        (["--cutoff", "0"], "must be a distance in Å, not 0"),
    ],
)
def test_bad_input_is_one_line(water, capsys, words, message):
    assert cli.main(["probe", TRUNCATED[0], "--structure", water, *words]) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert message in printed.err
