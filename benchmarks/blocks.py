"""The tables of docs/blocks.md, one a group of blocks: `python benchmarks/blocks.py` writes them there anew.

Promised: `continuity_order` of the default model with this block. Measured: by the probe, as tests/continuity.py does;
2 is the highest that it can tell. Cost: processor time of a training step (float32, one thread, bundled molecules, 128
atoms) over that of the default model, each the least of several, taken in turns.
"""

import re
import sys
import time
from importlib import import_module
from pathlib import Path

import torch
from omegaconf import OmegaConf

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))  # where models are built and measured

from conftest import BASE_MODEL, BLOCKS, CONF, build  # noqa: E402
from continuity import EVENTS, HIGHEST, measured_orders  # noqa: E402

from mlip_design.data.bundled import bundled_path  # noqa: E402
from mlip_design.graph import AtomGraph, batch_structures, in_batches  # noqa: E402
from mlip_design.potential import Potential  # noqa: E402
from mlip_design.structures import read_structures  # noqa: E402

PAGE = ROOT / "docs" / "blocks.md"
REPEATS = 25
FORMULA = re.compile(" (=|<-) ")
TINY = {"n_features": 16, "n_layers": 1}
HEAD = (
    "| block | what it is, and its formula | options | promised | measured | cost |\n|---|---|---|---:|---:|---:|"
)


def described(group: str, name: str) -> tuple[str, str]:
    """What the module of a block says first, the paragraph of its formula, and the options of its YAML."""
    node = OmegaConf.load(CONF / "model" / group / f"{name}.yaml")
    values = OmegaConf.to_container(node, resolve=False)
    paragraphs = import_module(f"mlip_design.blocks.{group}.{name}").__doc__.strip().split("\n\n")
    what = " ".join(paragraphs[0].split()).rstrip(".").replace("|", "\\|")
    formulas = [] if " = " in what else [p for p in paragraphs[1:] if FORMULA.search(p) and not p.endswith(".")]
    what += "".join(f"<br>`{' '.join(line.split())}`" for line in "".join(formulas[:1]).splitlines())
    own = {key: value for key, value in values.items() if key[0] != "_" and "${" not in str(value)}
    return what, ", ".join(f"{key}: {'null' if value is None else value}" for key, value in own.items())


def order(group: str, name: str) -> tuple[str, str]:
    """Promised and measured."""
    potential = build(f"model={BASE_MODEL}", sizes=TINY, **{group: name})
    promised = potential.continuity_order
    measured = min(measured_orders(potential, list(EVENTS)).values())
    return f"{promised:.0f}".replace("inf", "∞"), f"≥ {measured}" if measured == HIGHEST else str(measured)


def step_time(potential: Potential, graph: AtomGraph) -> float:
    """Seconds of a processor for the derivatives of a step."""
    start = time.process_time()
    prediction = potential(graph, create_graph=True)
    (prediction.forces.square().mean() + prediction.energy.square().mean()).backward()
    return time.process_time() - start


def costs() -> dict[tuple[str, str], float]:
    """(group, block) -> time of a step in units of that of the default model."""
    torch.set_flush_denormal(True)
    structures = read_structures(bundled_path("val_known.xyz.xz"))
    default = build(f"model={BASE_MODEL}", dtype=torch.float32, sizes={}).requires_grad_(True)
    graph = batch_structures(next(in_batches(structures, 128)), default.cutoff, torch.float32)
    found = {}
    for group, name in BLOCKS:
        other = build(f"model={BASE_MODEL}", dtype=torch.float32, sizes={}, **{group: name}).requires_grad_(True)
        pairs = [(step_time(default, graph), step_time(other, graph)) for _ in range(REPEATS)]
        base, own = map(min, zip(*pairs, strict=True))
        found[group, name] = own / base
    return found


def tables() -> dict[str, str]:
    """Group -> Markdown table."""
    cost, lines = costs(), {}
    for group, name in BLOCKS:
        what, options = described(group, name)
        promised, measured = order(group, name)
        row = f"| `{name}` | {what} | {options} | {promised} | {measured} | {cost[group, name]:.2f} |"
        lines.setdefault(group, [HEAD]).append(row)
    return {group: "\n".join(rows) for group, rows in lines.items()}


def main() -> None:
    """Put the tables between their markers on the page."""
    page = PAGE.read_text()
    for group, table in tables().items():
        marked = re.compile(rf"(<!-- {group} -->\n).*?(<!-- end -->)", re.DOTALL)
        page = marked.sub(lambda found, table=table: f"{found[1]}{table}\n{found[2]}", page)
    PAGE.write_text(page)


if __name__ == "__main__":
    main()
