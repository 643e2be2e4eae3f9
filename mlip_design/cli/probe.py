"""`mlip-design probe`: jumps of a potential energy surface, with no reference needed."""

import argparse
import math
import sys
from pathlib import Path

from mlip_design.cli.arguments import add_allow, check_json, check_model_options, positive, write_json


def probe(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from mlip_design.bsct.probe.survey import survey
    from mlip_design.bsct.probe.terminal import print_surveys
    from mlip_design.bsct.probe.walk import find_paths
    from mlip_design.evaluator import is_calculator, open_evaluator
    from mlip_design.structures import read_geometries

    check_model_options(args)
    calculates = is_calculator(args.model)
    if args.cutoff is not None and not calculates:
        raise ValueError(f"--cutoff: {args.model} is a checkpoint, which has its own")
    check_json(args.json)
    where, precision = args.device or "cpu", args.dtype or "float64"
    evaluator = open_evaluator(args.model, args.calculator_args, where, precision, allow=args.allow)
    cutoff = args.cutoff if calculates else evaluator.potential.cutoff
    work = []
    for index, structure in enumerate(read_geometries(args.structure)):
        name = f"{index} {formula(structure.numbers)}"
        work.append((name, structure, *find_paths(structure, args.path, cutoff)))
    for text in args.path:
        reasons = [lacking.get(text) for *_, lacking in work]
        if all(reasons):
            raise ValueError(f"--path {text}: {reasons[0]}")
    shown = tqdm(work, "probe", leave=False, disable=None, file=sys.stdout)
    surveys = [survey(evaluator, *one, args.max_evaluations) for one in shown]
    print_surveys(surveys, args.structure)
    if cutoff is None and {"all", "cutoff"} & set(args.path):
        print("not seen: a cutoff outside the ranges of the cutoff paths; --cutoff says where it is")
    smooth = all(found.is_smooth for found in surveys)
    write_json(args.json, {"model": args.model, "smooth": smooth, "structures": [s.as_dict() for s in surveys]})
    return 0 if smooth else 1


def distance(text: str) -> float:
    """Å."""
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"must be a distance in Å, not {text}")
    return number


def formula(numbers) -> str:
    """Of atomic numbers (n_atoms,), such as "C2H6O"."""
    from ase.formula import Formula
    from ase.symbols import Symbols

    return Formula(str(Symbols(numbers))).format("hill")


def add_probe(groups: argparse._SubParsersAction) -> None:
    text = (
        "Walk structures along paths and find every jump of energy and forces by bisection, with no reference. "
        "Exit status 0: none; 1: jumps, or a path that a structure lacks or that could not be walked to its end."
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
    text = "of a calculator, Å: how far a cutoff path leads (default: not known, 2 to 8 Å are searched)"
    add("--cutoff", type=distance, metavar="LENGTH", help=text)
    add("--device", help="where a checkpoint computes (default: cpu)")
    add("--dtype", choices=("float64", "float32"), help="precision of a checkpoint (default: float64)")
    add_allow(command)
    text = "evaluations along one path at most (default: %(default)s)"
    add("--max-evaluations", type=positive, default=50_000, metavar="N", help=text)
    add("--json", type=Path, metavar="FILE", help="also write everything to FILE")
    command.set_defaults(run=probe)
