"""The command line: `mlip-design GROUP COMMAND ...`, also `python -m mlip_design ...`.

A command is a short function that imports what it needs when it runs, prints to stdout and returns its exit
status: 0 for success, 1 for a check that ran and failed. Bad input is one line on stderr and status 2; Ctrl-C is one
line and status 130.
"""

import sys

from mlip_design.cli.arguments import Parser
from mlip_design.cli.bsct import add_bsct
from mlip_design.cli.build_scans import add_build_scans
from mlip_design.cli.compare import add_compare
from mlip_design.cli.data import add_data
from mlip_design.cli.eval import add_eval
from mlip_design.cli.export import add_export
from mlip_design.cli.md import add_md
from mlip_design.cli.probe import add_probe
from mlip_design.cli.properties import add_properties
from mlip_design.cli.report import add_report
from mlip_design.cli.selection import add_finalists, add_select, add_watch


def build_parser() -> Parser:
    parser = Parser(prog="mlip-design", description="Workbench for the design of smooth interatomic potentials.")
    groups = parser.add_subparsers(metavar="GROUP", required=True)
    add_bsct(groups)
    add_build_scans(groups)
    add_compare(groups)
    add_data(groups)
    add_md(groups)
    add_probe(groups)
    add_properties(groups)
    add_eval(groups)
    add_export(groups)
    add_select(groups)
    add_finalists(groups)
    add_watch(groups)
    add_report(groups)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit status."""
    try:
        args = build_parser().parse_args(argv)
        return args.run(args)
    except (ValueError, OSError) as error:
        print("error:", " ".join(str(error).split()), file=sys.stderr)
        return 2
    except KeyboardInterrupt as stopped:
        print(str(stopped) or "stopped")
        return 130
