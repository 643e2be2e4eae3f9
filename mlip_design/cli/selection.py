"""`mlip-design select | finalists | watch`: from runs to a picked architecture."""

import argparse
import shlex
from pathlib import Path

from mlip_design.cli.arguments import add_metrics, add_rule, positive, write_json


def select(args: argparse.Namespace) -> int:
    from mlip_design.selection import compare, load_runs
    from mlip_design.selection.picks import RULES
    from mlip_design.selection.terminal import print_selection

    runs, unreadable = load_runs(args.folders)
    selection = compare(runs, args.x, args.y, args.epsilon, args.allow_mixed, unreadable, also=args.also)
    print_selection(selection, RULES if args.rule is None else [args.rule])
    print(f"\nnext  {shlex.join(['mlip-design', 'finalists', *map(str, args.folders), *given(args)])} --seeds 5")
    write_json(args.json, selection.as_dict())
    return 0


def given(args: argparse.Namespace) -> list[str]:
    """The options of a comparison that are not the usual ones, for the command that comes next."""
    from mlip_design.selection.comparison import EPSILON, X, Y

    usual = {"x": X, "y": Y, "epsilon": EPSILON}
    words = [f"--{name}={getattr(args, name)}" for name, value in usual.items() if getattr(args, name) != value]
    words += [f"--also={name}" for name in args.also]
    return words + (["--allow-mixed"] if args.allow_mixed else [])


def finalists(args: argparse.Namespace) -> int:
    from mlip_design.selection import compare, load_runs
    from mlip_design.selection.comparable import check_comparable
    from mlip_design.selection.finalists import confirm
    from mlip_design.selection.retrain import is_over, plan, train_all
    from mlip_design.selection.terminal import print_confirmations

    runs, unreadable = load_runs(args.folders)
    settings = {
        "x": args.x,
        "y": args.y,
        "epsilon": args.epsilon,
        "allow_mixed": args.allow_mixed,
        "also": args.also,
    }
    before = compare(runs, unreadable=unreadable, **settings)
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
    after = compare(fresh, unreadable=unreadable, known=before.variants, **settings)
    if not args.allow_mixed:
        check_comparable([*front[0].runs, *after.variants[0].runs])
    confirmations = confirm(before, after, args.epsilon)
    print_confirmations(before, after, confirmations)
    found = {"before": before.as_dict(), "after": after.as_dict()}
    write_json(args.json, {**found, "confirmations": [one.as_dict() for one in confirmations]})
    return 0 if all(is_over(folder) for folder in folders) else 1


def watch(args: argparse.Namespace) -> int:
    from mlip_design.selection.watch import watch

    watch(args.folder, (args.x, args.y, *args.also), None if args.once else args.every)
    return 0


def add_objectives(command: argparse.ArgumentParser) -> None:
    command.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help="runs, or folders that hold them")
    add_metrics(command)


def add_select(groups: argparse._SubParsersAction) -> None:
    text = "Compare runs by two metrics, seeds taken together: Pareto front, picks with reasons, what matters."
    command = groups.add_parser("select", help="choose among runs by two metrics", description=text)
    add_objectives(command)
    command.add_argument("--rule", choices=("pareto", "epsilon", "knee"), help="show the pick of one rule only")
    add_rule(command)
    command.set_defaults(run=select)


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
