"""The command line: `mlip-design GROUP COMMAND ...`, also `python -m mlip_design ...`.

A command is a short function that imports what it needs when it runs, prints to stdout and returns its exit
status: 0 for success, 1 for a check that ran and failed. Bad input is one line on stderr and status 2.
"""

import argparse
import importlib.util
import json
import sys
from pathlib import Path

EXTRAS = {"rdkit": "xtb", "tblite": "xtb"}  # module: extra of the package that installs it


class Parser(argparse.ArgumentParser):
    """Reports a wrong argument as a `ValueError`, so that it becomes one line like any other bad input."""

    def error(self, message: str):
        raise ValueError(f"{message} (see {self.prog} --help)")


def need(*modules: str) -> None:
    """Check that optional modules are installed."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise ValueError(f"{module} is not installed: pip install 'mlip-design[{EXTRAS[module]}]'")


def write_json(path: Path | None, result: dict) -> None:
    if path is not None:
        path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {text}")
    return number


def data_make_bundled(args: argparse.Namespace) -> int:
    need("rdkit", "tblite")
    from mlip_design.data.make_bundled import Plan, make_bundled

    work = args.out.with_name(args.out.name + "_work") if args.work is None else args.work
    manifest = make_bundled(args.out, work, Plan(seed=args.seed), args.jobs)
    for name, count in manifest["frames"].items():
        print(f"{name:11} {count:6d} frames of {len(manifest['molecules'][name])} molecules")
    for reason, count in manifest["dropped"].items():
        print(f"dropped     {count:6d} {reason}")
    size = sum(entry["bytes"] for entry in manifest["files"].values())
    print(f"{size / 1e6:.2f} MB in {args.out}")
    write_json(args.json, manifest)
    return 0


def add_data(groups: argparse._SubParsersAction) -> None:
    group = groups.add_parser("data", help="data sets", description="Data sets.")
    commands = group.add_subparsers(metavar="COMMAND", required=True)
    text = "Generate the bundled set with GFN2-xTB: about 15 minutes on two cores, resumable."
    command = commands.add_parser("make-bundled", help="generate the bundled set with GFN2-xTB", description=text)
    command.add_argument(
        "--out", type=Path, default=Path("bundled_data"), help="new folder (default: %(default)s)"
    )
    command.add_argument("--work", type=Path, help="folder for intermediate results (default: OUT_work)")
    command.add_argument("--seed", type=int, default=0, help="seed of everything random (default: %(default)s)")
    command.add_argument("--jobs", type=positive, default=2, help="processes (default: %(default)s)")
    command.add_argument("--json", type=Path, metavar="FILE", help="also write the manifest to FILE")
    command.set_defaults(run=data_make_bundled)


def build_parser() -> Parser:
    parser = Parser(prog="mlip-design", description="Workbench for the design of smooth interatomic potentials.")
    groups = parser.add_subparsers(metavar="GROUP", required=True)
    add_data(groups)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit status."""
    try:
        args = build_parser().parse_args(argv)
        return args.run(args)
    except (ValueError, OSError) as error:
        print("error:", " ".join(str(error).split()), file=sys.stderr)
        return 2
