"""Short-range repulsion: the published formula, smooth where it ends, and what it is for."""

import math

import pytest
import torch
from ase.data import atomic_numbers, covalent_radii

from mlip_design.blocks.contracts import Edges
from mlip_design.blocks.repulsion.none import NoRepulsion
from mlip_design.blocks.repulsion.zbl import ZBL

REACH = 0.8


def pair_energy(block: torch.nn.Module, first: str, second: str, distance: torch.Tensor) -> torch.Tensor:
    """Energy (eV) of two atoms at a distance (scalar tensor, Å)."""
    numbers = torch.tensor([atomic_numbers[first], atomic_numbers[second]])
    ends = torch.tensor([0, 1])
    along = torch.stack([distance, -distance])
    displacement = torch.stack([along, 0 * along, 0 * along], dim=1)
    ones = torch.ones(2, dtype=distance.dtype)
    radial = ones[:, None]
    edges = Edges(ends, *[ends.flip(0)] * 2, displacement, along.abs(), ones, 0 * ones, radial, 0 * ends, 1)
    return block.to(distance.dtype)(numbers, edges).sum()


def by_hand(first: str, second: str, distance: float) -> float:
    """ZBL with the bump switch, written out in plain numbers, eV."""
    z = [atomic_numbers[first], atomic_numbers[second]]
    scaled = distance / (0.8854 * 0.529177210903 / (z[0] ** 0.23 + z[1] ** 0.23))
    phi = (
        0.18175 * math.exp(-3.19980 * scaled)
        + 0.50986 * math.exp(-0.94229 * scaled)
        + 0.28022 * math.exp(-0.40290 * scaled)
        + 0.02817 * math.exp(-0.20162 * scaled)
    )
    x = distance / (REACH * (covalent_radii[z[0]] + covalent_radii[z[1]]))
    return 14.3996454784 * z[0] * z[1] / distance * phi * math.exp(-(x**2) / (1 - x**2)) if x < 1 else 0.0


@pytest.mark.parametrize("pair", [("C", "C"), ("H", "O"), ("P", "Cl")])
@pytest.mark.parametrize("distance", [0.2, 0.5, 0.7, 3.0])
def test_values_are_those_of_the_formula(pair, distance):
    found = pair_energy(ZBL(REACH), *pair, torch.tensor(distance, dtype=torch.float64))
    assert found.item() == pytest.approx(by_hand(*pair, distance), rel=1e-12, abs=1e-15)


def ends_smoothly(block: torch.nn.Module, end: float) -> bool:
    """Whether energy and its first three derivatives have gone 0.1 % before the distance `end` (Å)."""
    distance = torch.tensor(0.999 * end, dtype=torch.float64, requires_grad=True)
    value = pair_energy(block, "C", "C", distance)
    sizes = [abs(value.item())]
    for _ in range(3):
        (value,) = torch.autograd.grad(value, distance, create_graph=True)
        sizes.append(abs(value.item()))
    return max(sizes) < 1e-60


class CutZBL(ZBL):
    """Wrong on purpose: ends earlier than its switch."""

    def forward(self, numbers, edges):
        return super().forward(numbers, edges) * (edges.distance.max() < 0.9 * self.reach * 1.52)


def test_it_ends_with_all_derivatives_and_a_cut_one_is_caught():
    end = REACH * 2 * covalent_radii[6]
    assert ends_smoothly(ZBL(REACH), end)
    assert not ends_smoothly(CutZBL(REACH), 0.9 * end)


def test_bonds_at_their_usual_length_do_not_feel_it():
    for first, second, length in [("C", "H", 1.09), ("O", "H", 0.96), ("C", "C", 1.20), ("H", "H", 0.74)]:
        energy = pair_energy(ZBL(REACH), first, second, torch.tensor(length, dtype=torch.float64))
        assert energy.item() < 0.05, (first, second)


def test_none_is_nothing():
    assert pair_energy(NoRepulsion(), "C", "C", torch.tensor(0.5, dtype=torch.float64)).item() == 0.0
