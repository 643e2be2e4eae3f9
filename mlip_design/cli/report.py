"""`mlip-design report`: pages to look at."""

import argparse
from pathlib import Path

from mlip_design.cli.arguments import add_metrics, add_rule, write_json


def report(args: argparse.Namespace) -> int:
    from mlip_design.report.write import write_reports

    pages = write_reports(args.folder, args.x, args.y, args.epsilon, args.allow_mixed, args.also)
    print(pages[-1])
    write_json(args.json, {"pages": [str(page) for page in pages]})
    return 0


def add_report(groups: argparse._SubParsersAction) -> None:
    text = (
        "Write report.html into a run folder or that of a BSCT result; of a folder of runs, one for every run and one "
        "that compares them."
    )
    command = groups.add_parser("report", help="pages to look at runs, sweeps and results", description=text)
    command.add_argument("folder", type=Path, metavar="FOLDER", help="a run, a result, or a folder of runs")
    add_metrics(command)
    add_rule(command)
    command.set_defaults(run=report)
