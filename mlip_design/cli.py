"""The command line: `mlip-design GROUP COMMAND ...`, also `python -m mlip_design ...`.

A command is a short function that imports what it needs when it runs, prints to stdout and returns its exit
status: 0 for success, 1 for a check that ran and failed. Bad input is one line on stderr and status 2.
"""

import argparse
import importlib.util
import json
import shlex
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


def fraction(text: str) -> float:
    number = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"must be from 0 to 1, as 0.05 or 5%, not {text}")
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


def select(args: argparse.Namespace) -> int:
    from mlip_design.selection import compare, load_runs
    from mlip_design.selection.picks import RULES
    from mlip_design.selection.terminal import print_selection

    runs, unreadable = load_runs(args.folders)
    selection = compare(runs, args.x, args.y, args.epsilon, args.allow_mixed, unreadable)
    print_selection(selection, RULES if args.rule is None else [args.rule])
    print(f"\nnext  {shlex.join(['mlip-design', 'finalists', *map(str, args.folders)])} --seeds 5")
    write_json(args.json, selection.as_dict())
    return 0


def finalists(args: argparse.Namespace) -> int:
    from mlip_design.selection import compare, load_runs
    from mlip_design.selection.comparable import check_comparable
    from mlip_design.selection.finalists import confirm
    from mlip_design.selection.retrain import is_over, plan, train_all
    from mlip_design.selection.terminal import print_confirmations

    runs, unreadable = load_runs(args.folders)
    before = compare(runs, args.x, args.y, args.epsilon, args.allow_mixed, unreadable)
    front = [before[label] for label in before.picks["pareto"].variants]
    folder = args.folders[0].resolve()
    out = folder.with_name(f"{folder.name}_finalists") if args.out is None else args.out
    trainings = plan(front, args.seeds, {run.seed for run in runs}, out)
    seeds = ", ".join(map(str, dict.fromkeys(training.seed for training in trainings)))
    print(f"{len(front)} on the front, seeds {seeds}, in {out}", flush=True)
    train_all(trainings, args.workers, lambda line: print(line, flush=True))
    folders = {training.folder for training in trainings}
    fresh, unreadable = load_runs([out])
    fresh = [run for run in fresh if run.folder in folders]
    after = compare(fresh, args.x, args.y, args.epsilon, args.allow_mixed, unreadable, before.variants)
    if not args.allow_mixed:
        check_comparable([*front[0].runs, *after.variants[0].runs])
    confirmations = confirm(before, after, args.epsilon)
    print_confirmations(before, after, confirmations)
    found = {"before": before.as_dict(), "after": after.as_dict()}
    write_json(args.json, {**found, "confirmations": [one.as_dict() for one in confirmations]})
    return 0 if all(is_over(folder) for folder in folders) else 1


def watch(args: argparse.Namespace) -> int:
    from mlip_design.selection.watch import watch

    watch(args.folder, args.x, args.y, None if args.once else args.every)
    return 0


def add_objectives(command: argparse.ArgumentParser) -> None:
    command.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help="runs, or folders that hold them")
    add_metrics(command)


def add_metrics(command: argparse.ArgumentParser) -> None:
    command.add_argument("--x", default="val/forces_mae", help="first metric (default: %(default)s)")
    command.add_argument("--y", default="val/bsct/full_smoothness", help="second metric (default: %(default)s)")


def add_rule(command: argparse.ArgumentParser) -> None:
    text = "how far rule epsilon goes above the lowest x for a lower y (default: 5%%)"
    command.add_argument("--epsilon", type=fraction, default=0.05, help=text)
    command.add_argument("--allow-mixed", action="store_true", help="compare runs of unequal budget or data")
    command.add_argument("--json", type=Path, metavar="FILE", help="also write everything to FILE")


def add_select(groups: argparse._SubParsersAction) -> None:
    text = "Compare runs by two metrics, seeds taken together: Pareto front, picks with reasons, what matters."
    command = groups.add_parser("select", help="choose among runs by two metrics", description=text)
    add_objectives(command)
    command.add_argument("--rule", choices=("pareto", "epsilon", "knee"), help="show the pick of one rule only")
    add_rule(command)
    command.set_defaults(run=select)


def report(args: argparse.Namespace) -> int:
    from mlip_design.report.write import write_reports

    pages = write_reports(args.folder, args.x, args.y, args.epsilon, args.allow_mixed)
    print(pages[-1])
    write_json(args.json, {"pages": [str(page) for page in pages]})
    return 0


def add_report(groups: argparse._SubParsersAction) -> None:
    text = (
        "Write report.html into a run folder; of a folder of runs, one for every run and one that compares them."
    )
    command = groups.add_parser("report", help="pages to look at runs and sweeps", description=text)
    command.add_argument("folder", type=Path, metavar="FOLDER", help="a run, or a folder that holds runs")
    add_metrics(command)
    add_rule(command)
    command.set_defaults(run=report)


def add_finalists(groups: argparse._SubParsersAction) -> None:
    text = (
        "Train the front again with seeds that took no part in the choice, and say whether the picks hold. "
        "The same command goes on where it was stopped."
    )
    command = groups.add_parser("finalists", help="train the front with more seeds", description=text)
    add_objectives(command)
    add_rule(command)
    command.add_argument("--seeds", type=positive, default=5, help="fresh seeds a variant (default: %(default)s)")
    command.add_argument("--out", type=Path, metavar="DIR", help="their folder (default: FOLDER_finalists)")
    command.add_argument("--workers", type=positive, default=1, help="trained at a time (default: %(default)s)")
    command.set_defaults(run=finalists)


def add_watch(groups: argparse._SubParsersAction) -> None:
    text = (
        "Show the runs below a folder while they train: status, epochs, two metrics, the front so far, time left."
    )
    command = groups.add_parser("watch", help="follow a sweep while it runs", description=text)
    command.add_argument("folder", type=Path, metavar="FOLDER", help="folder of a sweep, or of one run")
    add_metrics(command)
    command.add_argument("--once", action="store_true", help="show it once")
    command.add_argument(
        "--every", type=positive, default=5, help="seconds between updates (default: %(default)s)"
    )
    command.set_defaults(run=watch)


def build_parser() -> Parser:
    parser = Parser(prog="mlip-design", description="Workbench for the design of smooth interatomic potentials.")
    groups = parser.add_subparsers(metavar="GROUP", required=True)
    add_data(groups)
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
