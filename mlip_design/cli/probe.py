"""`mlip-design probe`: jumps of a potential energy surface, with no reference needed."""

import argparse
import sys
from pathlib import Path

from mlip_design.cli.arguments import add_allow, positive, write_json


def probe(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from mlip_design.bsct.probe.survey import survey
    from mlip_design.bsct.probe.terminal import print_surveys
    from mlip_design.bsct.probe.walk import find_path, paths_of
    from mlip_design.evaluator import PotentialEvaluator, open_evaluator
    from mlip_design.structures import read_geometries

    evaluator = open_evaluator(args.model, args.calculator_args, args.device, args.dtype, allow=args.allow)
    cutoff = evaluator.potential.cutoff if isinstance(evaluator, PotentialEvaluator) else None
    work = []
    for index, structure in enumerate(read_geometries(args.structure)):
        paths = paths_of(structure, cutoff) if "all" in args.path else []
        chosen = [find_path(structure, text, cutoff) for text in args.path if text != "all"]
        work.append((f"{index} {formula(structure.numbers)}", structure, [*paths, *chosen]))
    shown = tqdm(work, "probe", leave=False, disable=None, file=sys.stdout)
    surveys = [survey(evaluator, *one, args.max_evaluations) for one in shown]
    print_surveys(surveys)
    smooth = all(found.is_smooth for found in surveys)
    write_json(args.json, {"model": args.model, "smooth": smooth, "structures": [s.as_dict() for s in surveys]})
    return 0 if smooth else 1


def formula(numbers) -> str:
    """Of atomic numbers (n_atoms,), such as "C2H6O"."""
    from ase.formula import Formula
    from ase.symbols import Symbols

    return Formula(str(Symbols(numbers))).format("hill")


def add_probe(groups: argparse._SubParsersAction) -> None:
    text = (
        "Walk structures along paths and find every jump of energy and forces by bisection, with no reference. "
        "Exit status 0: none; 1: jumps, or a path that could not be walked to its end."
    )
    command = groups.add_parser("probe", help="find jumps of a potential energy surface", description=text)
    add = command.add_argument
    add(
        "model",
        metavar="MODEL",
        help="checkpoint, run folder, exported model or ASE calculator as module:callable",
    )
    add("--structure", type=Path, required=True, metavar="FILE", help="structures, any file that ASE reads")
    text = "bond:0,1 angle:0,1,2 torsion:0,1,2,3, approach, swap, cutoff, boundary, or all (default), atoms from 0"
    add("--path", nargs="+", default=["all"], metavar="PATH", help=text)
    add("--calculator-args", nargs="+", default=[], metavar="KEY=VALUE", help="arguments of the callable")
    add("--device", default="cpu", help="of a checkpoint (default: %(default)s)")
    add(
        "--dtype", choices=("float64", "float32"), default="float64", help="of a checkpoint (default: %(default)s)"
    )
    add_allow(command)
    text = "evaluations along one path at most (default: %(default)s)"
    add("--max-evaluations", type=positive, default=50_000, metavar="N", help=text)
    add("--json", type=Path, metavar="FILE", help="also write everything to FILE")
    command.set_defaults(run=probe)
