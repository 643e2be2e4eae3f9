"""A summary of a sweep for Weights & Biases: `python -m callbacks.wandb_sweep SWEEP_FOLDER [--mode online]`.

One run beside those of the trials, in their group: the table of variants, the Pareto scatter, picks and hypervolume in
its summary, and `report.html` if the folder has one.
"""

import math
import sys
from pathlib import Path

import wandb

from mlip_design.cli.arguments import Parser, add_metrics
from mlip_design.selection import Selection, compare, load_runs
from mlip_design.selection.quantities import quantity


def main(argv: list[str] | None = None) -> int:
    """Compare the runs of a folder and log the comparison; returns the exit status."""
    parser = Parser(prog="python -m callbacks.wandb_sweep", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder that holds runs")
    add_metrics(parser)
    parser.add_argument("--allow-mixed", action="store_true", help="compare runs of unequal budget or data")
    parser.add_argument("--project", default="mlip-design", help="default: %(default)s")
    parser.add_argument("--group", help="group of the trials (default: name of the folder)")
    parser.add_argument("--mode", choices=("offline", "online"), default="offline", help="default: %(default)s")
    try:
        args = parser.parse_args(argv)
        runs, unreadable = load_runs([args.folder])
        selection = compare(
            runs, args.x, args.y, allow_mixed=args.allow_mixed, unreadable=unreadable, also=args.also
        )
    except (ValueError, OSError) as error:
        print("error:", " ".join(str(error).split()), file=sys.stderr)
        return 2
    group = args.group or args.folder.resolve().name
    with wandb.init(
        project=args.project,
        group=group,
        name=f"{group} summary",
        job_type="sweep",
        dir=args.folder,
        mode=args.mode,
        settings=wandb.Settings(quiet=True),
    ) as run:
        log_selection(run, selection)
        report = args.folder / "report.html"
        if report.exists():
            run.log({"report": wandb.Html(report.read_text(encoding="utf-8"), inject=False)})
    return 0


def log_selection(run: wandb.Run, selection: Selection) -> None:
    """Send the table of variants, the scatter of the two objectives, and the summary."""
    table = variants_table(selection)
    x, y = quantity(selection.x).heading, quantity(selection.y).heading
    title = f"{quantity(selection.y).name} against {quantity(selection.x).name}"
    run.log({"variants": table, "pareto": wandb.plot.scatter(table, x, y, title=title)})
    picks = {f"pick/{rule}": ", ".join(pick.variants) for rule, pick in selection.picks.items()}
    reasons = {f"pick/{rule}/reason": pick.reason for rule, pick in selection.picks.items()}
    counts = {"variants": len(selection.variants), "runs": selection.n_runs, "left_out": len(selection.left_out)}
    rho = selection.correlation.rho if selection.correlation else None
    counts |= {"hypervolume": selection.hypervolume, "rank_correlation": rho}
    run.summary.update({**{f"sweep/{name}": value for name, value in counts.items()}, **picks, **reasons})


def variants_table(selection: Selection) -> wandb.Table:
    """One row a variant, means over seeds in the units that the headings say."""
    metrics = (*selection.objectives, *selection.held_out)
    headings = [quantity(name).heading for name in metrics]
    columns = ["number", "variant", "front", "warnings", "seeds", *headings, "command"]
    table = wandb.Table(columns=columns)
    for variant in selection.variants:
        means = [variant.mean(name) * quantity(name).factor for name in metrics]
        table.add_data(
            selection.place(variant.label),
            variant.label,
            variant.label in selection.front,
            "; ".join(selection.warnings.get(variant.label, ())),
            len(variant.runs),
            *(mean if math.isfinite(mean) else None for mean in means),
            variant.command,
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
