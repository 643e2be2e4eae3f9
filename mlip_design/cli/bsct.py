"""`mlip-design bsct`: any model scored on bond scans."""

import argparse
from pathlib import Path

from mlip_design.cli.arguments import add_allow, check_json, check_model_options, check_out, positive


def bsct(args: argparse.Namespace) -> int:
    from mlip_design.bsct.predict import Model
    from mlip_design.bsct.result import save_facts
    from mlip_design.bsct.scoring import score
    from mlip_design.report.bsct_page import write_bsct_page
    from mlip_design.report.bsct_terminal import print_result

    check_model_options(args)
    check_out(args.out, "results.json", "comparison.json", "evaluation.json")
    check_json(args.json)
    options = (args.device or "cpu", args.dtype or "float64", tuple(args.allow))
    model = Model(args.model, tuple(args.calculator_args), *options)
    bonds = args.bonds.split(",") if args.bonds else None
    try:
        result = score(model, args.data, bonds, args.limit, args.workers, progress=True)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("stopped; the same command goes on where it was") from None
    if args.out is not None:
        result.save(args.out)
        write_bsct_page(args.out)
    if args.json is not None:
        save_facts(args.json, result.facts)
    print_result(result.facts, args.out)
    incomplete = result.facts["data"]["left_out"] or result.facts["failed"]
    return 1 if (args.strict and incomplete) or not result.facts["count"] else 0


def add_bsct(groups: argparse._SubParsersAction) -> None:
    text = (
        "Score a model on scans of bonds or other kinds: smoothness and errors of energy, forces and, along volumes, "
        "stress, with statistics beside those of zero forces, by bond type, the worst systems, artificial minima, work "
        "along the path. Predictions are kept in a cache: stopped or killed, the same command goes on where it was."
    )
    command = groups.add_parser("bsct", help="score any model on bond scans", description=text)
    add = command.add_argument
    add(
        "model",
        metavar="MODEL",
        help="checkpoint, run folder, exported model, or ASE calculator as module:callable",
    )
    add(
        "--data",
        type=Path,
        required=True,
        metavar="DIR",
        help="scans in the published layout, or a tar archive of it",
    )
    add("--out", type=Path, metavar="DIR", help="folder for result.json, predictions.npz and report.html")
    add("--json", type=Path, metavar="FILE", help="write result.json to FILE, too")
    add("--limit", type=positive, metavar="N", help="that many systems only, taken in turn from the bond types")
    add("--bonds", metavar="TYPES", help="these bond types only, such as C-C,N-O")
    text = "processes of one thread each (default: one, which uses all cores for a checkpoint)"
    add("--workers", type=positive, default=1, metavar="N", help=text)
    add("--device", help="where a checkpoint computes (default: cpu)")
    add("--dtype", choices=("float64", "float32"), help="precision of a checkpoint (default: float64)")
    add("--calculator-args", nargs="+", default=[], metavar="KEY=VALUE", help="arguments of the callable")
    add_allow(command)
    add("--strict", action="store_true", help="status 1 if a system was left out or has no usable prediction")
    command.set_defaults(run=bsct)
