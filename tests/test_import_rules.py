"""Who may import whom, read from the source: the shape of the design, kept by a test."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT

PACKAGE = ROOT / "mlip_design"
FOLDERS = (PACKAGE, ROOT / "callbacks", ROOT / "hydra_plugins")
FILES = sorted([*(file for folder in FOLDERS for file in folder.rglob("*.py")), ROOT / "train.py"])
LIGHTNING = {"pytorch_lightning", "lightning"}
CONFIGURED = {"mlip_design.config", "mlip_design.arguments", "mlip_design.checkpoint", "hydra_plugins"}
CONFIGURED |= {"train", "callbacks.job"}
LEARNING = LIGHTNING | {"torch", "torchmetrics", "e3nn"}


def module_name(path: Path) -> str:
    """Dotted name of a file of the repository."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(source: str, package: str = "") -> set[str]:
    """Dotted names of everything a source imports, anywhere in it; `from a import b` gives both a and a.b."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return found


def within(name: str, parents: set[str] | list[str]) -> bool:
    """Whether a dotted name is one of the parents or below one."""
    return any(name == parent or name.startswith(f"{parent}.") for parent in parents)


def violations(name: str, source: str) -> Iterator[str]:
    """Imports of the module `name` that the design does not allow."""
    found = imports(source, name.rpartition(".")[0])
    roots = {item.split(".")[0] for item in found}
    if within(name, {"mlip_design"}):
        yield from (f"{item}: W&B" for item in roots & {"wandb"})
        yield from (f"{item}: the package knows no callbacks" for item in roots & {"callbacks", "train"})
    if within(name, {"mlip_design.blocks"}):
        allowed = {"torch", "e3nn", "mlip_design.blocks", *sys.stdlib_module_names}
        allowed |= {"ase.data.covalent_radii", "ase.data"}  # constants of nature
        allowed |= {"mlip_design.native"}  # compiles what stands beside a block
        yield from (f"{item}: blocks take plain tensors" for item in found if not within(item, allowed))
    if name == "mlip_design.potential":
        ours = {item for item in found if within(item, {"mlip_design"})}
        allowed = {"mlip_design.graph", "mlip_design.blocks.contracts", "mlip_design.blocks.padding"}
        yield from (f"{item}: a potential knows no concrete block" for item in ours if not within(item, allowed))
    if within(
        name, {"mlip_design.bsct.score", "mlip_design.bsct.scans", "mlip_design.selection", "mlip_design.sweep"}
    ):
        yield from (f"{item}: needs no learning" for item in roots & LEARNING)
    if not within(name, {"mlip_design.data", "mlip_design.task", "callbacks", "train"}):
        yield from (f"{item}: Lightning" for item in roots & LIGHTNING)
    if not within(name, CONFIGURED):
        yield from (f"{item}: Hydra" for item in roots & {"hydra"})
    if "lightning" in roots:
        yield "lightning: it is pytorch_lightning everywhere"


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_imports_keep_the_rules(path):
    assert list(violations(module_name(path), path.read_text())) == []


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("mlip_design.blocks.envelope.mine", "import numpy"),
        ("mlip_design.blocks.envelope.mine", "from mlip_design.graph import AtomGraph"),
        ("mlip_design.blocks.envelope.mine", "from ...graph import AtomGraph"),
        ("mlip_design.blocks.envelope.mine", "def f():\n    import ase"),
        ("mlip_design.potential", "from mlip_design.blocks.envelope.bump import Bump"),
        ("mlip_design.potential", "from mlip_design import blocks"),
        ("mlip_design.potential", "from mlip_design.structures import Structure"),
        ("mlip_design.bsct.score", "import torch"),
        ("mlip_design.bsct.scans", "from torch import nn"),
        ("mlip_design.selection.pareto", "import pytorch_lightning as pl"),
        ("mlip_design.loss", "from pytorch_lightning import Callback"),
        ("mlip_design.task", "import lightning"),
        ("mlip_design.report.terminal", "import wandb"),
        ("mlip_design.task", "from callbacks.bsct import BSCT"),
        ("mlip_design.task", "from hydra.utils import instantiate"),
        ("callbacks.bsct", "import hydra"),
        ("mlip_design.sweep.study", "import torch"),
        ("mlip_design.sweep.space", "from hydra.core.override_parser.types import Override"),
        ("hydra_plugins.mlip_design_sweeps.pareto", "import pytorch_lightning"),
    ],
)
def test_a_broken_rule_is_caught(name, source):
    assert list(violations(name, source))


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("mlip_design.blocks.envelope.mine", "import math\nimport torch\nfrom e3nn import o3"),
        ("mlip_design.blocks.envelope.mine", "from mlip_design.blocks.padding import pad"),
        ("mlip_design.potential", "from mlip_design.blocks.contracts import Edges\nimport torch"),
        ("mlip_design.task", "import pytorch_lightning as pl"),
        ("callbacks.bsct", "from pytorch_lightning.loggers import WandbLogger"),
        ("train", "import hydra\nimport pytorch_lightning"),
    ],
)
def test_what_the_design_wants_is_allowed(name, source):
    assert not list(violations(name, source))


def needed(name: str) -> set[str]:
    """Everything that importing a module of the package imports in turn, by what stands at the top of the files."""
    files = {module_name(path): path for path in FILES}
    waiting, seen, outside = [name], set(), set()
    while waiting:
        current = waiting.pop()
        parents = {".".join(current.split(".")[:n]) for n in range(1, current.count(".") + 2)} & files.keys()
        for module in parents - seen:
            seen.add(module)
            tree = ast.parse(files[module].read_text())
            top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
            found = imports(ast.unparse(ast.Module(top, [])), module.rpartition(".")[0])
            waiting += [item for item in found if within(item, {"mlip_design"})]
            outside |= {item.split(".")[0] for item in found} - {"mlip_design"}
    return outside


@pytest.mark.parametrize(
    "name",
    ["mlip_design.bsct.score", "mlip_design.bsct.scans", "mlip_design.bsct.compare", "mlip_design.selection"],
)
def test_scores_and_selections_are_computed_without_torch_being_installed(name):
    assert needed(name) & LEARNING == set()


def test_needs_are_followed_through_modules():
    assert "torch" in needed("mlip_design.task") and "vesin" in needed("mlip_design.task")
