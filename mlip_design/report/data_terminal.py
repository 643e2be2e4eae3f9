"""What `mlip-design data prepare` and `mlip-design data info` print."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

DISTRIBUTIONS = {
    "atoms_a_structure": ("atoms", 0),
    "energy_an_atom": ("energy, eV/atom", 3),
    "largest_force": ("max force, eV/Å", 3),
}
"""Key of the result -> heading and decimals."""
DUPLICATES = {
    "exact": "the same to the last digit",
    "moved": "the same but for order, pose or mirror image",
    "near": "the same but for some thousandths of an Å",
}


def print_prepared(folder: Path, result: Mapping) -> None:
    """result: what `--json` of `data prepare` writes."""
    console = Console(highlight=False)
    print_left_out(console, result["left_out"], f"named in {folder / 'left_out.txt'}")
    print_not_read(console, result["not_read"])
    line = f"{result['structures']:,} structures, {result['atoms']:,} atoms, {result['groups']:,} groups, "
    line += f"{len(result['elements'])} elements in {folder}"
    console.print(line, markup=False, soft_wrap=True)


def print_info(result: Mapping) -> None:
    """result: what `mlip_design.data.survey.info.info` returned."""
    console = Console(highlight=False)
    kinds = f"{result['periodic']:,} periodic, {result['with_stress']:,} with stress"
    line = (
        f"{result['structures']:,} structures ({kinds}), {result['atoms']:,} atoms, {result['groups']:,} groups\n"
    )
    console.print(line, markup=False, soft_wrap=True)
    print_elements(console, result["elements"])
    print_distributions(console, result)
    print_left_out(console, result["left_out"], "named by --json")
    print_not_read(console, result["not_read"])
    for name, text in (("energy_an_atom", "energy an atom"), ("largest_force", "largest force")):
        print_found(console, {**result["outliers"][name], "what": f"outliers of the {text}"})
    for name, text in DUPLICATES.items():
        pairs = result["duplicates"][name]
        examples = [(again, f"repeats {first}") for first, again in pairs["examples"]]
        print_found(
            console,
            {"what": f"structures that occur again, {text}", "count": pairs["count"], "examples": examples},
        )
    for suspicion in result["suspicious"]:
        print_found(console, {**suspicion, "what": f"suspicious: {suspicion['what']}"})


def print_elements(console: Console, elements: Mapping[str, Mapping]) -> None:
    """A row an element."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    table.add_column("element")
    for heading in ("atoms", "structures", "reference energy, eV"):
        table.add_column(heading, justify="right")
    for symbol, facts in elements.items():
        table.add_row(
            symbol, f"{facts['atoms']:,}", f"{facts['structures']:,}", f"{facts['reference_energy']:,.3f}"
        )
    console.print(table)


def print_distributions(console: Console, result: Mapping) -> None:
    """A row a quantity; energies are those above the reference energies."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    table.add_column("")
    for heading in ("mean", "std", "min", "p1", "median", "p99", "max"):
        table.add_column(heading, justify="right")
    for name, (text, digits) in DISTRIBUTIONS.items():
        table.add_row(text, *(f"{value:,.{digits}f}" for value in result[name].values()))
    console.print(table)
    forces = result["forces"]
    line = f"force components: rms {forces['rms']:.3f}, mean absolute {forces['mean_absolute']:.3f} eV/Å"
    ratio = result["work_ratio"]
    line += "" if ratio is None else f"; change of energy over work of the forces {ratio:.3f}"
    console.print(line, markup=False, soft_wrap=True)


def print_left_out(console: Console, counts: Mapping[str, int], where: str) -> None:
    """How many structures were left out for which kind of reason."""
    if counts:
        console.print(f"\nLeft out, {where}", markup=False, soft_wrap=True)
    for reason, count in counts.items():
        console.print(f"{count:6d}  {reason}", markup=False, soft_wrap=True)


def print_not_read(console: Console, paths: Sequence[str]) -> None:
    """Files that no reader is known for."""
    if paths:
        shown = ", ".join(Path(path).name for path in paths[:5]) + (", ..." if len(paths) > 5 else "")
        console.print(f"\n{len(paths)} files of the folders not read: {shown}", markup=False, soft_wrap=True)


def print_found(console: Console, found: Mapping) -> None:
    """What was found, how often, and a few examples; nothing if it was not."""
    if not found["count"]:
        return
    console.print(f"\n{found['count']:,} {found['what']}", markup=False, soft_wrap=True)
    for name, value in found["examples"][:3]:
        console.print(f"        {name}: {value}", markup=False, soft_wrap=True)
