"""docs/evidence.md: facts, figures and sentences of all studies, written from their JSON alone."""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

from studies import correlation, coverage, factorial, ladder, value
from studies.measuring import N_DIFFERENTIATED, N_PROBED, N_SIMULATED

STUDIES: dict[str, ModuleType] = {
    "ladder": ladder,
    "ladder_spice": ladder,
    "ladder_acac": ladder,
    "factorial": factorial,
    "coverage": coverage,
    "correlation": correlation,
    "value": value,
}
"""Name of a file of facts -> what made it and tells of it."""
TITLES = {
    "ladder": "Ladder: does each step help, and what comes after",
    "ladder_spice": "The ladder on DFT: BSCT-SPICE, split by system",
    "ladder_acac": "The ladder on DFT: acetylacetone",
    "factorial": "Factorial: which remedy does what",
    "coverage": "Coverage: where the roughness is",
    "correlation": "Correlation: which cheap number predicts NVE stability",
    "value": "Value: how stable are the picks",
}
INTRODUCTION = f"""# Evidence: does smoothness in the loop give stable simulations?

Written by `python -m studies` from the JSON files in [evidence/](evidence); do not edit. FSD is the force smoothness
deviation of BSCT ([bsct.md](bsct.md)), away from equilibrium: without the frames within 0.1 Å of it. Unless said
otherwise ± is half of a 95 % interval over seeds (Student). Jumps are those of {N_PROBED} molecules on two paths each
([probe.md](probe.md)), force constants of {N_DIFFERENTIATED}, NVE drifts of {N_SIMULATED} ([dynamics.md](dynamics.md)).
`--spice DIR` and `--acac DIR` add the ladders on DFT.
"""


def write(folder: Path) -> Path:
    """Write evidence.md beside the folder of the JSON files, with all studies of which there are facts."""
    parts, told = [INTRODUCTION, cost_text(load(folder, "cost"))], set()
    for name, study in STUDIES.items():
        if not (folder / f"{name}.json").exists():
            continue
        facts = load(folder, name)
        study.draw(facts, folder / f"{name}.png")
        about = "" if study in told else study.__doc__.partition("\n\n")[2].strip() + "\n\n"
        told.add(study)
        parts.append(
            f"## {TITLES[name]}\n\n{about}{study.text(facts)}\n\n![{TITLES[name]}](evidence/{name}.png)\n"
        )
    path = folder.parent / "evidence.md"
    path.write_text("\n".join(parts), encoding="utf-8")
    return path


def load(folder: Path, name: str) -> dict[str, Any]:
    """The facts of a study."""
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


def cost_text(costs: dict[str, dict[str, Any]]) -> str:
    """What it was made on, and what it took."""
    lines = []
    for cost in costs.values():
        hours = f"{cost['training_hours']:.1f} hours, and {cost['measuring_hours']:.1f} hours of measuring"
        lines.append(
            f"- {cost['title']}: {cost['runs']} trainings of {cost['epochs']} epochs on {cost['structures']:,} "
            f"structures, {hours}, both summed over processes of one thread; {cost['machine']}; torch {cost['torch']}."
        )
        if cost["unfinished"]:
            lines.append(f"  Without result: {', '.join(cost['unfinished'])}.")
    return "\n".join(lines) + "\n"
