"""The probe on potentials: paths lead where they say, models that jump are caught, and smooth ones are not accused."""

import ase
import numpy as np
import pytest
import torch
from ase.build import bulk, molecule
from conftest import build, ethanol
from scipy.spatial.distance import pdist

from mlip_design.bsct.probe.paths import in_a_box
from mlip_design.bsct.probe.rays import NEAREST, Ray
from mlip_design.bsct.probe.walk import KINDS, find_path, paths_of, walk
from mlip_design.bsct.symmetry import measure_symmetry
from mlip_design.evaluator import PotentialEvaluator, Predictions
from mlip_design.structures import Structure, from_atoms

CUTOFF = 6.0


class Evaluated(PotentialEvaluator):
    """A potential that was never saved."""

    def __init__(self, *overrides: str, dtype: torch.dtype = torch.float64, **blocks: str):
        self.name, self.max_atoms = "potential", 512
        self.potential = build(*overrides, dtype=dtype, **blocks)


def water() -> Structure:
    """Two equal bonds."""
    return from_atoms(molecule("H2O"))


def methane() -> Structure:
    """Four equal bonds, six equal distances."""
    return from_atoms(molecule("CH4"))


def diamond() -> Structure:
    """Every shell of neighbours is equidistant."""
    return from_atoms(bulk("C", "diamond", a=3.57))


def angle(positions: np.ndarray, i: int, j: int, k: int) -> float:
    """°."""
    return ase.Atoms("H3", positions[[i, j, k]]).get_angle(0, 1, 2)


# Paths


@pytest.mark.parametrize("kind", KINDS)
def test_every_path_moves_something_and_starts_from_ordinary_structures(kind):
    path = find_path(ethanol(), kind, CUTOFF)
    first, last = path.structure(path.start), path.structure(path.stop)
    assert not np.allclose(first.positions, last.positions) or kind == "torsion"
    assert pdist(np.vstack([first.positions])).min() > 0.3
    assert all(path.start <= place <= path.stop for place in path.places)


def test_coordinates_are_what_they_are_called():
    structure = ethanol()
    bond, bend = (find_path(structure, text, CUTOFF) for text in ("bond:0,1", "angle:1,0,2"))
    torsion = find_path(structure, "torsion:3,1,0,2", CUTOFF)
    stretched = bond.structure(1.9).positions
    assert np.linalg.norm(stretched[0] - stretched[1]) == pytest.approx(1.9, abs=1e-12)
    assert angle(bend.structure(100.0).positions, 1, 0, 2) == pytest.approx(100.0, abs=1e-9)
    turned = ase.Atoms("H9", torsion.structure(77.0).positions)
    assert abs(turned.get_dihedral(3, 1, 0, 2)) % 360 in (pytest.approx(77.0), pytest.approx(283.0))
    gap = find_path(structure, "approach", CUTOFF)
    far = gap.structure(9.0).positions
    assert np.linalg.norm(far[:9, None] - far[9:], axis=2).min() >= 9.0


def test_fragments_stay_rigid():
    structure = ethanol()
    moved = find_path(structure, "bond:0,1", CUTOFF).structure(2.5).positions
    moves = np.abs((moved - structure.positions) - (moved - structure.positions)[1]).max(axis=1) < 1e-12
    assert 1 < moves.sum() < len(moves)
    assert np.abs((moved - structure.positions)[~moves]).max() < 1e-12


def test_places_of_cutoff_and_swap_are_where_distances_are_equal():
    structure = ethanol()
    crossing = find_path(structure, "cutoff", CUTOFF)
    mover = int(crossing.name.rpartition("-")[2])
    for place in crossing.places:
        positions = crossing.structure(place).positions
        distances = np.linalg.norm(positions - positions[mover], axis=1)
        assert np.abs(distances - CUTOFF).min() < 1e-9
    swap = find_path(structure, "swap", CUTOFF)
    centre = int(swap.name.split()[1].partition("-")[0])
    for place in swap.places:
        positions = swap.structure(place).positions
        distances = np.sort(np.abs(np.linalg.norm(positions - positions[centre], axis=1) - place))
        assert distances[1] < 1e-9
    assert len(crossing.places) == len(swap.places) + 1 == 8


def carbon_chain() -> Structure:
    """Longer than the usual range to both sides."""
    return from_atoms(ase.Atoms("C16", [[1.3 * i, 0.01 * i, 0.0] for i in range(16)]))


@pytest.mark.parametrize("cutoff", [2.5, CUTOFF, 10.2])
@pytest.mark.parametrize("structure", [water(), carbon_chain()], ids=["water", "chain"])
def test_a_cutoff_path_leads_beyond_every_place(structure, cutoff):
    path = find_path(structure, "cutoff", cutoff)
    mover = int(path.name.rpartition("-")[2])

    def within(coordinate: float) -> int:
        positions = path.structure(coordinate).positions
        return (np.linalg.norm(np.delete(positions, mover, 0) - positions[mover], axis=1) < cutoff).sum()

    assert within(path.stop) == 0
    assert all(within(place - 1e-6) != within(place + 1e-6) for place in path.places)
    places = Ray.clear(structure).crossings(cutoff)
    assert list(path.places) == [place for place in places if place > NEAREST]
    nearest = [pdist(path.structure(at).positions).min() for at in np.linspace(path.start, path.stop, 50)]
    assert min(nearest) > 0.5


def test_a_layer_has_a_boundary_without_a_third_vector():
    positions = [[1.0, 1.0, 0.0], [1.0, 2.4, 0.0]]
    layer = from_atoms(ase.Atoms("C2", positions, cell=[4.0, 5.0, 0.0], pbc=(True, True, False)))
    path = find_path(layer, "boundary", CUTOFF)
    below, above = (path.structure(height).positions for height in (-1e-6, 1e-6))
    assert sorted(np.linalg.norm(below - above, axis=1)) == pytest.approx([0.0, 4.0], abs=1e-5)


def test_a_molecule_around_another_has_an_approach():
    caged = from_atoms(molecule("C6H6") + ase.Atoms("He"))
    path = find_path(caged, "approach", CUTOFF)
    for gap in (path.start, path.stop):
        positions = path.structure(gap).positions
        assert np.linalg.norm(positions[:-1] - positions[-1], axis=1).min() >= gap


def test_an_atom_that_crosses_a_boundary_comes_back_on_the_other_side():
    structure = in_a_box(water())
    path = find_path(structure, "boundary", CUTOFF)
    below, above = path.structure(-1e-6), path.structure(1e-6)
    moved = np.abs(below.positions - above.positions).max(axis=1)
    assert sorted(moved > 1.0) == [False, False, True]
    for structure in (below, above):
        fractions = structure.positions @ np.linalg.inv(structure.cell)
        assert ((fractions >= 0) & (fractions < 1)).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bnd:0,1", "did you mean 'bond'"),
        ("bond:0", "needs 2 atoms by number, such as 0,1"),
        ("bond:0,x", "needs 2 atoms"),
        ("angle:0,1,9", "3 different atoms from 0 to 8"),
        ("angle:0,1,1", "3 different atoms from 0 to 8"),
        ("swap:0,1", "chooses its atoms itself"),
    ],
)
def test_wrong_paths_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        find_path(ethanol(), text, CUTOFF)


def test_structures_have_the_paths_that_fit_them():
    def kinds(structure: Structure) -> list[str]:
        return [path.name.split()[0] for path in paths_of(structure, CUTOFF)]

    assert kinds(ethanol()) == list(KINDS)
    assert kinds(water()) == [kind for kind in KINDS if kind != "torsion"]
    assert kinds(diamond()) == ["bond", "swap", "cutoff", "boundary"]
    cubic = from_atoms(bulk("C", "diamond", a=3.57, cubic=True))
    assert kinds(cubic) == [kind for kind in KINDS if kind != "approach"]
    assert kinds(from_atoms(ase.Atoms("O"))) == ["approach", "boundary"]


# Models


def test_hard_neighbors_jump_where_two_swap():
    few = ("model.neighbors.n_neighbors=3", "model.basis.n_basis=16")
    walked = walk(Evaluated("model=baseline", *few), find_path(water(), "swap", CUTOFF))
    places = [jump.coordinate for jump in walked.probe.jumps]
    assert walked.largest_force_jump > 1e-3
    assert any(abs(place - known) < 1e-9 for place in places for known in walked.path.places)


def test_an_edge_that_ends_without_envelope_jumps_at_the_cutoff():
    walked = walk(Evaluated(envelope="none", neighbors="radius"), find_path(water(), "cutoff", CUTOFF))
    assert len(walked.path.places) == 2
    assert [jump.coordinate for jump in walked.probe.jumps] == pytest.approx(walked.path.places, abs=1e-9)
    assert walked.largest_force_jump > 1e-3


def test_cosine_envelope_has_kinks_at_the_cutoff_and_no_jumps():
    walked = walk(
        Evaluated("model=baseline", "model.basis.n_basis=16", envelope="cosine", neighbors="radius"),
        find_path(water(), "cutoff", CUTOFF),
    )
    assert walked.probe.jumps == ()
    assert [kink.coordinate for kink in walked.probe.kinks] == pytest.approx(walked.path.places, abs=1e-6)


@pytest.mark.parametrize("kind", ["bond", "angle", "swap", "cutoff", "boundary"])
def test_the_smooth_model_has_none(kind):
    walked = walk(Evaluated("model=smooth_attn"), find_path(methane(), kind, CUTOFF))
    assert (walked.probe.jumps, walked.probe.kinks, walked.probe.exhausted) == ((), (), False)


def test_the_smooth_model_has_none_through_the_perfect_site_of_a_crystal():
    path = find_path(from_atoms(bulk("C", "diamond", a=3.57) * (2, 1, 1)), "swap", 4.0)
    assert np.abs(np.array(path.places) - 3.57 * 3**0.5 / 4).min() < 1e-9
    walked = walk(Evaluated("model=smooth_attn", "model.neighbors.cutoff=4.0"), path)
    assert (walked.probe.jumps, walked.probe.exhausted) == ((), False)


# Symmetry


class Bent(Evaluated):
    """Forces with a part that no energy has, and one that knows the axes."""

    def __init__(self, curl: float, field: float):
        super().__init__()
        self.curl, self.field = curl, field

    def __call__(self, structures) -> Predictions:
        """See `Evaluator`."""
        predictions = super().__call__(structures)
        for forces, structure in zip(predictions.forces, structures, strict=True):
            forces += self.curl * np.cross([0.0, 0.0, 1.0], structure.positions)
            forces[:, 0] += self.field * structure.positions[:, 0]
        return predictions


def test_a_conservative_invariant_model_is_symmetric():
    found = measure_symmetry(Evaluated(), ethanol())
    assert found.jacobian_asymmetry < 1e-7
    assert max(found.rotation_energy, found.rotation_forces) < 1e-9


def test_curl_and_fixed_axes_are_measured():
    whirl, axes = measure_symmetry(Bent(50.0, 0.0), ethanol()), measure_symmetry(Bent(0.0, 0.3), ethanol())
    assert whirl.jacobian_asymmetry > 0.1
    assert axes.jacobian_asymmetry < 1e-7
    assert axes.rotation_forces > 0.1


def test_asymmetry_is_the_published_ratio():
    class Linear:
        name = "linear"
        matrix = np.random.default_rng(0).normal(size=(9, 9))

        def __call__(self, structures) -> Predictions:
            forces = [(self.matrix @ s.positions.ravel()).reshape(-1, 3) for s in structures]
            return Predictions(np.zeros(len(structures)), forces)

    matrix = Linear.matrix
    expected = np.linalg.norm(matrix - matrix.T) / (2 * np.linalg.norm(matrix))
    assert measure_symmetry(Linear(), water()).jacobian_asymmetry == pytest.approx(expected, rel=1e-7)
