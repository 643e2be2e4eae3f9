"""`mlip-design compare`: results of several models side by side."""

import argparse
from pathlib import Path

from mlip_design.cli.arguments import check_json, check_out, write_json


def compare(args: argparse.Namespace) -> int:
    from mlip_design.bsct.compare import compare as compare_results
    from mlip_design.bsct.result import save_facts
    from mlip_design.report.compare_page import write_comparison_page
    from mlip_design.report.compare_terminal import print_comparison

    check_out(args.out, "results.json", "result.json", "evaluation.json")
    check_json(args.json)
    keys = None if args.keys is None else tuple(dict.fromkeys(args.keys.split(",")))
    comparison = compare_results(args.results, keys)
    print_comparison(comparison)
    write_json(args.json, comparison.as_dict())
    if args.out is not None:
        save_facts(args.out / "comparison.json", comparison.as_dict())
        print(f"\npage  {write_comparison_page(args.out, comparison)}")
    return 0


def add_compare(groups: argparse._SubParsersAction) -> None:
    text = (
        "Compare results of mlip-design bsct on the systems that all have: differences of their means to the first, "
        "by resampling the systems, with intervals, and in how many resamplings which model is lower."
    )
    command = groups.add_parser("compare", help="compare scored models", description=text)
    add = command.add_argument
    add("results", nargs="+", metavar="RESULT", help="folder of mlip-design bsct --out, or its result.json")
    text = "of the score, such as full_smoothness,full_forces_mae (default: FSD of all regions, force MAE, energy MAE)"
    add("--keys", metavar="KEYS", help=text)
    add("--json", type=Path, metavar="FILE", help="also write everything to FILE")
    add("--out", type=Path, metavar="DIR", help="folder for report.html and comparison.json")
    command.set_defaults(run=compare)
