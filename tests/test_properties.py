"""Properties computed two ways: what must be zero is zero, and known or independently computed numbers come out."""

import ase
import numpy as np
import pytest
from ase import units
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.optimize import BFGS
from property_calculators import SPACING, Springs
from scipy.signal import find_peaks

from mlip_design.evaluator import CalculatorEvaluator
from mlip_design.properties.case import Case, Settings
from mlip_design.properties.curve import minima
from mlip_design.properties.kinds import KINDS, LeftOut, measure
from mlip_design.structures import from_atoms

SETTINGS = Settings(force=1e-4, steps=200)
EMT_MODEL = ("ase.calculators.emt:EMT", {})


def measured(name: str, atoms: ase.Atoms, model, reference, settings=SETTINGS):
    """A property; model and reference: name and arguments of a calculator."""
    evaluators = (CalculatorEvaluator(*model), CalculatorEvaluator(*reference))
    return measure(name, Case(from_atoms(atoms), *evaluators, settings))


def values(found, part: str = "") -> dict[str, tuple]:
    """Reference, model and error of every quantity of a part, by name."""
    return {q.name: (q.reference, q.model, q.error) for q in found.quantities if q.part == part}


def springs(first: float = 2.0, second: float = 0.4):
    return ("property_calculators:Springs", {"first": first, "second": second})


def fcc(**arguments) -> ase.Atoms:
    return bulk("Cu", "fcc", a=SPACING * np.sqrt(2), **arguments)


def methanol() -> ase.Atoms:
    atoms = molecule("CH3OH")
    atoms.rattle(0.03, seed=1)
    return atoms


SMALL = {"relax": methanol, "dimer": methanol, "atomisation": methanol, "vibrations": lambda: molecule("H2O")}


@pytest.mark.parametrize("name", [name for name in KINDS if name not in ("torsion", "phonons")])
def test_a_model_against_itself_has_no_error(name):
    atoms = SMALL.get(name, lambda: bulk("Cu"))()
    found = measured(name, atoms, EMT_MODEL, EMT_MODEL)
    assert found.quantities and found.notes == []
    assert all(quantity.error == 0 for quantity in found.quantities)


@pytest.mark.parametrize("name", ["eos", "elastic"])
def test_another_lattice_constant_is_seen(name):
    """EMT with all lengths 2 % longer: volumes times 1.02^3, stresses and all moduli divided by it."""
    found = measured(name, bulk("Cu"), ("property_calculators:Scaled", {"factor": 1.02}), EMT_MODEL)
    for quantity, (reference, model, error) in values(found).items():
        expected = {"volume": 1.02**3, "energy": 1.0}.get(quantity, 1.02**-3)
        assert model / reference == pytest.approx(expected, rel=2e-3), quantity
        assert error == model - reference and (abs(error) > 1e-3 or quantity == "energy")


def test_elastic_constants_are_second_derivatives_of_the_energy():
    found = values(measured("elastic", fcc(), springs(), springs(first=2.2)))
    atoms = fcc()
    atoms.calc = Springs(2.0, 0.4)
    step, pairs = 1e-3, {"C11": (0, 0), "C12": (0, 1), "C44": (5, 5)}
    for name, pair in pairs.items():
        energies = [energy(atoms, pair, s * step, t * step) for s in (1, -1) for t in (1, -1)]
        second = (energies[0] - energies[1] - energies[2] + energies[3]) / (4 * step**2)
        expected = second / atoms.get_volume() / units.GPa
        assert found[name][1] == pytest.approx(expected, rel=1e-3), name
        assert found[name][0] != pytest.approx(expected, rel=1e-2), name
    assert found["bulk modulus"][1] == pytest.approx((found["C11"][1] + 2 * found["C12"][1]) / 3, rel=1e-9)


def energy(atoms: ase.Atoms, pair: tuple[int, int], first: float, second: float) -> float:
    """eV, of a cell under the sum of two strains, each along one component in Voigt order."""
    strain = np.zeros((3, 3))
    for component, size in zip(pair, (first, second), strict=True):
        i, j = [(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)][component]
        strain[i, j] += size / 2
        strain[j, i] += size / 2
    strained = atoms.copy()
    strained.calc = atoms.calc
    strained.set_cell(atoms.cell[:] @ (np.eye(3) + strain), scale_atoms=True)
    return strained.get_potential_energy()


def test_a_larger_cell_of_a_crystal_has_the_same_properties():
    for name in ("eos", "elastic"):
        small, large = (values(measured(name, fcc(cubic=cubic), springs(), springs())) for cubic in (False, True))
        for quantity, (_, model, _) in small.items():
            assert large[quantity][1] == pytest.approx(model, rel=2e-3, abs=1e-6), quantity


def test_the_constants_of_a_cubic_crystal_are_those_of_a_cubic_crystal_only():
    found = measured("elastic", bulk("Cu", "hcp", a=2.55, c=4.16), EMT_MODEL, EMT_MODEL)
    assert {q.name for q in found.quantities} == {"bulk modulus", "shear modulus", "lowest eigenvalue"}
    matrix = np.array(found.details["reference"])
    assert matrix[5, 5] == pytest.approx((matrix[0, 0] - matrix[0, 1]) / 2, rel=0.01)  # hexagonal
    assert abs(matrix[2, 2] / matrix[0, 0] - 1) > 0.02


def test_the_bulk_modulus_is_the_same_from_volumes_and_from_strains():
    from_volumes = values(measured("eos", fcc(), springs(), springs()))["bulk modulus"]
    from_strains = values(measured("elastic", fcc(), springs(), springs()))
    expected = (from_strains["C11"][1] + 2 * from_strains["C12"][1]) / 3
    assert from_volumes[1] == pytest.approx(expected, rel=5e-3)


def test_phonons_of_emt_copper_are_stable_and_the_same_as_of_itself():
    found = values(measured("phonons", bulk("Cu"), EMT_MODEL, EMT_MODEL))
    assert found["MAE at reference minimum"][2] == 0 == found["MAE at own minimum"][2]
    assert found["imaginary at own minimum"] == (0, 0, 0)
    assert 200 < found["highest"][0] < 320  # measured for copper: 240


def test_phonons_of_a_wrong_model_are_imaginary_and_of_springs_as_on_paper():
    found = values(measured("phonons", fcc(), springs(first=2.0, second=-1.5), springs(second=0.0)))
    assert found["imaginary at reference minimum"][0] == 0 < found["imaginary at reference minimum"][1]
    assert found["imaginary at own minimum"][1] > 0
    atoms = fcc()
    highest = np.sqrt(8 * 2.0 / atoms.get_masses()[0])  # at X, longitudinal: M w^2 = 8 k
    in_wavenumbers = highest * units._hbar * 1e10 / np.sqrt(units._e * units._amu) / units.invcm
    assert found["highest"][0] == pytest.approx(in_wavenumbers, rel=0.03)  # the mesh passes X by
    assert found["highest"][0] < in_wavenumbers


def test_vibrations_are_those_of_the_hessian_of_the_energy():
    """Water under EMT: the Hessian by second differences of energies, rigid motions being the lowest six."""
    found = measured("vibrations", molecule("H2O"), EMT_MODEL, EMT_MODEL, Settings(1e-5, 500))
    atoms = molecule("H2O")
    atoms.calc = EMT()
    BFGS(atoms, logfile=None).run(1e-5, 500)
    start, step = atoms.positions.copy(), 2e-3

    def at(*moves) -> float:
        atoms.positions = start
        for coordinate, sign in moves:
            atoms.positions[coordinate // 3, coordinate % 3] += sign * step
        return atoms.get_potential_energy()

    signs = [(1, 1), (1, -1), (-1, 1), (-1, -1)]
    hessian = np.array(
        [[sum(s * t * at((i, s), (j, t)) for s, t in signs) for j in range(9)] for i in range(9)]
    ) / (4 * step**2)
    roots = np.sqrt(np.repeat(atoms.get_masses(), 3))
    squares = np.linalg.eigvalsh(hessian / np.outer(roots, roots))
    squares = np.sort(squares[np.argsort(np.abs(squares))[6:]])
    expected = np.sqrt(squares * units._e * 1e20 / units._amu) / (2 * np.pi * units._c * 100)
    assert len(found.details["reference"]) == 3
    np.testing.assert_allclose(found.details["reference"], expected, rtol=5e-4, atol=3)


def test_a_linear_molecule_has_one_vibration_more():
    found = measured("vibrations", molecule("CO2"), EMT_MODEL, EMT_MODEL)
    assert len(found.details["model_at_reference"]) in (3, 4)
    found = measured("vibrations", molecule("N2"), EMT_MODEL, EMT_MODEL)
    assert len(found.details["reference"]) == 1


def test_a_relaxation_that_does_not_converge_is_said_so():
    slow = Settings(1e-3, 2)
    with pytest.raises(ValueError, match=r"the reference does not relax: .* eV/Å left after 2 steps"):
        measured("relax", methanol(), EMT_MODEL, EMT_MODEL, slow)
    evaluators = (
        CalculatorEvaluator("property_calculators:Scaled", {"factor": 1.2}),
        CalculatorEvaluator(*EMT_MODEL),
    )
    case = Case(from_atoms(methanol()), *evaluators, Settings(1e-3, 300))
    assert case.reference_end.converged
    object.__setattr__(case, "settings", slow)
    found = measure("relax", case)
    assert values(found)["converged"] == (1, 0, -1)
    assert "the model does not relax" in found.notes[0]
    assert values(found)["RMSD of distances"][2] > 0.01 and values(found)["height above minimum"][2] > 0.01
    vibrations = measure("vibrations", case)
    assert values(vibrations)["MAE at own minimum"][2] is None
    assert values(vibrations)["MAE at reference minimum"][2] > 10
    assert "the model does not relax" in vibrations.notes[0]


def test_a_longer_molecule_lies_above_the_minimum():
    model = ("property_calculators:Scaled", {"factor": 1.02})
    found = values(measured("relax", molecule("N2"), model, EMT_MODEL))
    length = found["RMSD of distances"][2] / 0.02
    assert 0.9 < length < 1.4
    atoms = ase.Atoms("N2", [[0, 0, 0], [0, 0, length]], calculator=EMT())
    ground = atoms.get_potential_energy()
    atoms.positions *= 1.02
    assert found["height above minimum"][2] == pytest.approx(atoms.get_potential_energy() - ground, abs=1e-4)


def test_curves_of_a_wrong_model_are_told_apart():
    model = ("property_calculators:Scaled", {"factor": 1.1})
    for name, part in (("dimer", "C-O"), ("atomisation", "")):
        found = values(measured(name, methanol(), model, EMT_MODEL), part)
        assert found["RMSE"][2] > 0.1
        assert found["depth"][0] > 1


def test_torsions_are_those_that_ase_turns():
    """Hydrogen peroxide by GFN2-xTB: the same angles, turned by ASE instead, give the same energies."""
    tblite = pytest.importorskip("tblite.ase", reason="tblite is not installed (extra xtb)")
    quiet = {"verbosity": 0, "accuracy": 0.01}
    reference, model = (("tblite.ase:TBLite", {"method": f"GFN{n}-xTB", **quiet}) for n in (2, 1))
    found = measured("torsion", molecule("H2O2"), model, reference, Settings(1e-3, 200))
    (figure,) = found.figures
    atoms = molecule("H2O2")
    atoms.calc = tblite.TBLite(method="GFN2-xTB", **quiet)
    BFGS(atoms, logfile=None).run(1e-3, 200)
    chain = [int(k) for k in figure.name.split()[1].split("-")]
    energies = []
    for angle in figure.lines[0].x:
        atoms.set_dihedral(*chain, angle, indices=[chain[3]])
        energies.append(atoms.get_potential_energy())
    np.testing.assert_allclose(figure.lines[0].y, np.array(energies) - min(energies), atol=1e-5)
    (quantities,) = {q.part: values(found, q.part) for q in found.quantities}.values()
    assert quantities["barrier"][0] == pytest.approx(np.ptp(energies), abs=1e-5)
    assert quantities["minima"][0] == len(find_peaks(-np.array(energies), prominence=0.001)[0])
    assert quantities["RMSE"][2] > 0.005


@pytest.mark.parametrize(
    ("energies", "expected"),
    [
        ([3, 1, 2], 1),
        ([3, 2, 1], 0),
        ([3, 1, 1, 2], 1),
        ([3, 1, 1.0005, 0.9, 2], 1),
        ([3, 1, 2, 0, 1], 2),
        ([1, 2, 1], 0),
        ([0, 0, 0, 0], 0),
    ],
)
def test_minima_are_counted_and_ripples_are_not(energies, expected):
    assert minima(np.array(energies, dtype=float)) == expected


@pytest.mark.parametrize(
    ("name", "atoms", "reason"),
    [
        ("relax", bulk("Cu"), "a crystal; relax is of a molecule"),
        ("eos", molecule("H2O"), "a molecule; eos is of a crystal"),
        ("eos", ase.Atoms("Cu", cell=[3, 3, 0], pbc=(True, True, False)), "a partly periodic structure"),
        ("relax", ase.Atoms("Cu"), "one atom"),
        ("relax", ase.Atoms("H2", [[0, 0, 0], [0, 0, 5]]), "2 molecules"),
        ("torsion", molecule("H2O"), "no bond to turn about"),
    ],
)
def test_what_a_structure_does_not_have_is_left_out(name, atoms, reason):
    with pytest.raises(LeftOut, match=reason):
        measured(name, atoms, EMT_MODEL, EMT_MODEL)


def test_a_model_without_stress_has_no_elastic_constants():
    with pytest.raises(ValueError, match="gives no stress"):
        measured("elastic", bulk("Cu"), ("build_calculators:Stressless", {}), EMT_MODEL)
