"""Soft counts are their sum, with derivatives of every order, and need no memory of the size of all pairs."""

import pytest
import torch

from mlip_design.blocks import soft_count as module
from mlip_design.blocks.soft_count import coefficients, kernel, soft_count


@pytest.fixture(params=["kernel", "torch"], autouse=True)
def way(request, monkeypatch) -> str:
    """With the kernel and without."""
    if request.param == "torch":
        monkeypatch.setattr(module, "can_fuse", lambda *_: False)
    return request.param


def given(n_rows: int = 3, n: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    """Values and weights, with a tie."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(n_rows, n, dtype=torch.float64, generator=generator)
    weights = torch.rand(n_rows, n, dtype=torch.float64, generator=generator)
    values[0, 1] = values[0, 2]
    return values.requires_grad_(), weights.requires_grad_()


def plain(values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """The sum as it stands."""
    return (torch.sigmoid(values[:, :, None] - values[:, None]) * weights[:, None]).sum(2)


def derivatives(count) -> list[torch.Tensor]:
    """A result and three generations of derivatives."""
    leaves = given()
    found = [count(*leaves)]
    for _ in range(3):
        slopes = torch.autograd.grad((found[-1] ** 2).sum(), leaves, create_graph=True)
        found.append(torch.cat(slopes))
    return [value.detach() for value in found]


@pytest.mark.parametrize("pairs_at_once", [module.PAIRS_AT_ONCE, 26, 1])
def test_it_is_the_sum_with_three_derivatives_in_any_chunks(monkeypatch, pairs_at_once):
    monkeypatch.setattr(module, "PAIRS_AT_ONCE", pairs_at_once)
    for one, other in zip(derivatives(soft_count), derivatives(plain), strict=True):
        assert (one - other).abs().max() < 1e-12 * other.abs().max()


def test_first_and_second_derivatives():
    assert torch.autograd.gradcheck(soft_count, given())
    assert torch.autograd.gradgradcheck(soft_count, given())


def test_polynomials_of_the_sigmoid():
    assert [coefficients(order) for order in range(3)] == [[0, 1], [0, 1, -1], [0, 1, -3, 2]]


@pytest.mark.parametrize("way", ["torch"], indirect=True)
def test_no_more_pairs_at_once_than_it_says(monkeypatch):
    """In the result and in both derivatives."""
    sizes = []

    def counted(values: torch.Tensor, order: int) -> torch.Tensor:
        sizes.append((order, values.shape[0] * values.shape[1] ** 2))
        return kernel(values, order)

    monkeypatch.setattr(module, "PAIRS_AT_ONCE", 500)
    monkeypatch.setattr(module, "kernel", counted)
    values, weights = given(n_rows=70, n=9)
    slope = torch.autograd.grad((soft_count(values, weights) ** 2).sum(), values, create_graph=True)[0]
    torch.autograd.grad((slope**2).sum(), values)
    assert {order for order, _ in sizes} == {0, 1, 2}
    assert max(size for _, size in sizes) <= 500 < sum(size for order, size in sizes if order == 2)


@pytest.mark.parametrize("shape", [(3, 0), (0, 4), (1, 1)])
def test_nothing_to_count(shape):
    empty = torch.zeros(shape, dtype=torch.float64)
    assert soft_count(empty, empty).shape == shape
