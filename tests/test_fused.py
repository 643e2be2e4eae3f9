"""Fused kernels: values and derivatives of the formula in torch, which a block computes where there is no kernel."""

import subprocess
import time
from unittest.mock import patch

import numpy as np
import pytest
import torch
from attention_tokens import L_MAX, Tokens, attention, centres, copied, mixed
from conftest import ROOT, blocks_of, build_block

from mlip_design.blocks.attention.smooth import SmoothAttention
from mlip_design.blocks.fused import library
from mlip_design.blocks.fused_attention import SOURCE, Parts
from mlip_design.blocks.soft_count import soft_count
from mlip_design.native import compiled

FUSED = [name for name in blocks_of("attention") if "fused" in vars(type(attention(name)))]
SIZES = [(3, 5), (2, 0), (40, 7), (1, 8), (5, 30)]
fused_attentions = pytest.mark.parametrize("name", FUSED)


def by_formula(function, *args, block: str = "attention.softmax"):
    """What a function returns where a kind of block has no kernel."""
    with patch(f"mlip_design.blocks.{block}.can_fuse", return_value=False):
        return function(*args)


def uneven(n_atoms: int, n_edges: int, seed: int = 0) -> Tokens:
    """Centres of which every second has only half of the edges."""
    given = centres(n_atoms, n_edges, seed)
    given.counts[::2] //= 2
    return given


def learnt(block, given: Tokens, selves_only: bool = False) -> list[torch.Tensor]:
    """Mixed tokens, and first and second derivatives of a sum by all tensors."""
    *moving, counts = given
    moving = [value.clone().requires_grad_() for value in moving]
    moved = Tokens(*moving, counts)
    found = block(moved.rows, moved.layout, selves_only)
    slopes = torch.autograd.grad(found.sin().sum(), moving, create_graph=True, materialize_grads=True)
    bent = torch.autograd.grad(sum(slope.cos().sum() for slope in slopes), moving, materialize_grads=True)
    return [value.detach() for value in (found, *slopes, *bent)]


def of_type(given: Tokens, dtype: torch.dtype) -> Tokens:
    """Numbers of another type."""
    return Tokens(*(value.to(dtype) if value.is_floating_point() else value for value in given))


def test_a_kernel_is_compiled_here():
    assert FUSED == ["smooth", "softmax", "temperature"]
    assert library(SOURCE, torch.float32) and library(SOURCE, torch.float64)


@fused_attentions
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-13), (torch.float32, 2e-5)], ids=str)
@pytest.mark.parametrize("selves_only", [False, True])
def test_values_and_derivatives_are_those_of_the_formula(name, dtype, tolerance, selves_only):
    block = attention(name).to(dtype)
    for size in SIZES:
        given = of_type(uneven(*size), dtype)
        expected = by_formula(learnt, block, given, selves_only)
        for found, value in zip(learnt(block, given, selves_only), expected, strict=True):
            largest = value.abs().amax().item() if value.numel() else 0.0
            torch.testing.assert_close(found, value, rtol=0, atol=tolerance * (1 + largest))


@pytest.mark.parametrize("n_heads, n_features", [(4, 24), (8, 24), (4, 68), (12, 12)])
def test_any_number_of_channels(n_heads, n_features):
    block = build_block("attention", "smooth", n_features=n_features, n_heads=n_heads, l_max=L_MAX)
    block.requires_grad_(False)
    given = uneven(6, 9)
    given = given._replace(tokens=given.tokens.repeat(1, 1, 3)[..., :n_features].contiguous())
    for found, value in zip(learnt(block, given), by_formula(learnt, block, given), strict=True):
        torch.testing.assert_close(found, value, rtol=1e-11, atol=1e-11)


@fused_attentions
def test_derivatives_up_to_the_third_agree_with_finite_differences(name):
    block, given = attention(name), centres(n_atoms=1, n_edges=2)

    def of(tokens, log_weight, unit):
        turned = unit / torch.linalg.vector_norm(unit, dim=-1, keepdim=True)
        moved = given._replace(weight=log_weight.exp(), log_weight=log_weight, unit=turned)
        spread = tokens[..., None].expand_as(given.tokens)
        return block(moved._replace(tokens=spread).rows, moved.layout).sum(-1)

    inputs = [values.clone().requires_grad_() for values in (given.tokens[..., 0], given.log_weight, given.unit)]

    def slope(*inputs):
        return torch.autograd.grad(of(*inputs).sin().sum(), inputs, create_graph=True)

    assert torch.autograd.gradcheck(of, inputs)
    assert torch.autograd.gradgradcheck(of, inputs)
    assert torch.autograd.gradgradcheck(slope, inputs)


def test_second_derivatives_where_a_tensor_is_made_of_another():
    """Each path from the input counts once, though all of them end in the kernel."""
    block, given = attention("smooth"), centres(n_atoms=2, n_edges=3)

    def curvature() -> torch.Tensor:
        log_weight = given.log_weight.clone().requires_grad_()
        edges = given.tokens[:, 1:] * log_weight[..., None].cos()
        moved = given._replace(
            tokens=torch.cat([given.tokens[:, :1], edges], dim=1), weight=log_weight.exp(), log_weight=log_weight
        )
        energy = block(moved.rows, moved.layout).sin().sum()
        (slope,) = torch.autograd.grad(energy, log_weight, create_graph=True)
        return torch.autograd.grad(slope.sin().sum(), log_weight)[0]

    torch.testing.assert_close(curvature(), by_formula(curvature), rtol=1e-11, atol=1e-12)


def test_number_of_threads_changes_nothing():
    block, given = attention("smooth"), uneven(200, 9)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = learnt(block, given)
        torch.set_num_threads(3)
        three = learnt(block, given)
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(one, three, strict=True))


@fused_attentions
def test_what_is_not_a_number_stays_with_its_centre_and_is_seen_there(name):
    block, given = attention(name), centres(n_atoms=3)
    expected = mixed(block, given)
    for part in range(4):
        spoiled = copied(given)
        spoiled[part][1] = np.nan
        found = mixed(block, spoiled)
        if part != 1 or type(block).fused.weighted:
            assert found[1].isnan().any()
        torch.testing.assert_close(found[[0, 2]], expected[[0, 2]], rtol=0, atol=0)


@fused_attentions
@pytest.mark.parametrize("log_weight", [-1e3, -90.0, -np.inf])
def test_faded_tokens_between_others(name, log_weight):
    """Shares that underflow are 0, as in torch."""
    block, given = attention(name).float(), centres()
    given.weight[:, 2], given.log_weight[:, 2] = np.exp(log_weight), log_weight
    given = of_type(given, torch.float32)
    found, expected = mixed(block, given), by_formula(mixed, block, given)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_what_exchanges_a_part_is_computed_as_written():
    class Doubled(SmoothAttention):
        def weigh(self, value, weight):
            return 2 * super().weigh(value, weight)

    class Wrong(Doubled):
        fused = Parts(normalized=True, weighted=True)

    given, changes = centres(), []
    for kind in (SmoothAttention, Doubled, Wrong):
        block = attention("smooth")
        block.__class__ = kind
        changes.append((mixed(block, given) - by_formula(mixed, block, given)).abs().max().item())
    assert changes[0] < 1e-13 and changes[1] == 0 and changes[2] > 0.1


def test_a_trained_temperature_keeps_its_derivative():
    block, given = attention("smooth", floor=0.5).requires_grad_(True), centres()

    def slope() -> float:
        return torch.autograd.grad(mixed(block, given).sin().sum(), block.raw)[0].item()

    assert slope() == by_formula(slope) != 0


def test_one_legendre_order_for_all_heads_is_computed_as_in_torch():
    block, given = attention("smooth"), centres()
    layout = given.layout
    layout.l_max = 0
    assert torch.equal(block(given.rows, layout), by_formula(block, given.rows, layout))


def test_tensors_of_several_types_are_refused():
    block, given = attention("smooth"), centres()
    with pytest.raises(TypeError, match=r"tensors of one type, not of torch.float32, torch.float64"):
        mixed(block, given._replace(unit=given.unit.float()))


def test_compiled_once_and_never_without_a_compiler(tmp_path, monkeypatch):
    monkeypatch.setenv("MLIP_DESIGN_CACHE", str(tmp_path))
    source = tmp_path / "twice.c"
    source.write_text("int twice(int x) { return FACTOR * x; }\n")
    assert compiled(source, "-DFACTOR=2").twice(21) == 42
    assert compiled(source, "-DFACTOR=3").twice(21) == 63
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "compiled").iterdir()}
    time.sleep(0.01)
    assert compiled(source, "-DFACTOR=2").twice(21) == 42
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "compiled").iterdir()} == files
    assert len(files) == 2
    assert compiled(source) is None, "it does not compile"
    monkeypatch.setenv("CC", str(tmp_path / "none"))
    assert compiled(source, "-DFACTOR=2") is None


def test_without_a_compiler_the_formula_is_computed(monkeypatch):
    block, given = attention("smooth"), uneven(4, 6)
    expected = learnt(block, given)
    library.cache_clear()
    try:
        monkeypatch.setenv("CC", "/nowhere/cc")
        found = learnt(block, given)
        assert library(SOURCE, torch.float64) is None
    finally:
        library.cache_clear()
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


COUNTS = [(3, 13), (4, 1), (40, 64), (2, 0), (0, 5), (600, 93)]


def counted(shape: tuple[int, int], dtype: torch.dtype) -> list[torch.Tensor]:
    """Soft counts, and first and second derivatives of a sum by values and weights."""
    random = np.random.default_rng(0)
    values = torch.tensor(random.uniform(0, 30, shape), dtype=dtype, requires_grad=True)
    weights = torch.tensor(random.uniform(0, 1, shape), dtype=dtype, requires_grad=True)
    counts = soft_count(values, weights)
    slopes = torch.autograd.grad(counts.sin().sum(), (values, weights), create_graph=True)
    bent = torch.autograd.grad(sum((slope**2).sum() for slope in slopes), (values, weights))
    return [value.detach() for value in (counts, *slopes, *bent)]


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-13), (torch.float32, 3e-5)], ids=str)
@pytest.mark.parametrize("shape", COUNTS, ids=str)
def test_soft_counts_are_those_of_the_formula(shape, dtype, tolerance):
    expected = by_formula(counted, shape, dtype, block="soft_count")
    for found, value in zip(counted(shape, dtype), expected, strict=True):
        largest = value.abs().amax().item() if value.numel() else 0.0
        torch.testing.assert_close(found, value, rtol=0, atol=tolerance * (1 + largest))


def test_derivatives_of_soft_counts_agree_with_finite_differences():
    values = torch.linspace(-3, 900, 12, dtype=torch.float64).view(2, 6).clone().requires_grad_()
    weights = torch.linspace(0.1, 1, 12, dtype=torch.float64).view(2, 6).clone().requires_grad_()
    values.data[:, :3] = torch.tensor([[0.1, 0.5, -0.4], [3.0, 3.0, 4.0]])
    assert torch.autograd.gradcheck(soft_count, (values, weights))
    assert torch.autograd.gradgradcheck(soft_count, (values, weights))


@pytest.mark.parametrize(
    "source", sorted((ROOT / "mlip_design" / "blocks").glob("*.c")), ids=lambda path: path.stem
)
def test_sources_have_no_warnings(source):
    command = [
        "cc",
        "-O1",
        "-march=native",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-Wno-unknown-pragmas",
        "-fsyntax-only",
    ]
    subprocess.run([*command, "-DREAL=float", source], check=True)
