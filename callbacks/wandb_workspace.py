"""A workspace on wandb.ai with the panels of this project: `python -m callbacks.wandb_workspace ENTITY [--project P]`.

Needs an account (`wandb login`) and the extra `workspaces`. Panels name metrics: no run is needed yet.
"""

import sys

import wandb

from mlip_design.cli.arguments import Parser
from mlip_design.selection.comparison import X, Y

try:
    import wandb_workspaces.reports.v2 as panels
    import wandb_workspaces.workspaces as workspaces
except ModuleNotFoundError as missing:
    print(f"error: {missing.name} is not installed: pip install 'mlip-design[workspaces]'", file=sys.stderr)
    sys.exit(2)

WORST = 2
"""Pictures of an evaluation, as `callbacks.bsct.n_worst`."""


def main(argv: list[str] | None = None) -> int:
    """Make the workspace and print its address; returns the exit status."""
    parser = Parser(prog="python -m callbacks.wandb_workspace", description=__doc__.splitlines()[0])
    parser.add_argument("entity", metavar="ENTITY", help="user or team on wandb.ai")
    parser.add_argument("--project", default="mlip-design", help="default: %(default)s")
    parser.add_argument("--name", default="Smoothness and accuracy", help="default: %(default)s")
    try:
        args = parser.parse_args(argv)
        workspace = build_workspace(args.entity, args.project, args.name)
        workspace.save()
    except (ValueError, wandb.errors.Error) as error:
        print("error:", " ".join(str(error).split()), file=sys.stderr)
        return 2
    print(workspace.url)
    return 0


def build_workspace(entity: str, project: str, name: str) -> workspaces.Workspace:
    """The workspace, not saved: the sections below, runs with the lowest deviation first.

    Runs are not grouped, for panels would show the means of groups; the column Group tells sweeps apart.
    """
    order = [workspaces.Ordering(workspaces.Summary(f"{Y}.last"), ascending=True)]
    return workspaces.Workspace(
        entity=entity,
        project=project,
        name=name,
        sections=[trade_off(), smoothness(), accuracy(), scans()],
        settings=workspaces.WorkspaceSettings(x_axis="epoch"),
        runset_settings=workspaces.RunsetSettings(order=order),
        auto_generate_panels=False,
    )


def trade_off() -> workspaces.Section:
    """The two objectives against each other, with cost, and what they depend on."""
    x, y = panels.SummaryMetric(f"{X}.last"), panels.SummaryMetric(f"{Y}.last")
    cost = panels.SummaryMetric("cost/seconds_per_step")
    scatter = panels.ScatterPlot(title="force MAE (eV/Å), FSD (1/Å), seconds a step", x=x, y=y, z=cost)
    axes = [panels.Config("model.basis.width"), panels.Config("model.neighbors.cutoff"), cost, x, y]
    parallel = panels.ParallelCoordinatesPlot(
        title="choices and objectives", columns=[panels.ParallelCoordinatesPlotColumn(axis) for axis in axes]
    )
    importance = panels.ParameterImportancePlot(with_respect_to=f"{Y}.last")
    return workspaces.Section(name="Trade-off", panels=[scatter, parallel, importance], is_open=True)


def smoothness() -> workspaces.Section:
    """Force smoothness deviation over epochs, beside that of zero forces."""
    regions = {
        "full": "full",
        "compress": "compressed",
        "stretch": "stretched",
        "windowed": "away from equilibrium",
    }
    plots = [
        over_epochs(f"FSD {words}, 1/Å", f"val/bsct/{region}_smoothness", f"val/bsct/zero_{region}_smoothness")
        for region, words in regions.items()
    ]
    spread = [f"val/bsct/full_smoothness_{name}" for name in ("median", "percentile_95")]
    return section("Smoothness", [*plots, over_epochs("FSD full, median and 95th percentile, 1/Å", *spread)])


def accuracy() -> workspaces.Section:
    """Errors on the validation splits, and the training loss."""
    plots = [
        over_epochs("force MAE, eV/Å", "val/forces_mae", "val_new/forces_mae"),
        over_epochs("energy MAE, eV/atom", "val/energy_mae_per_atom", "val_new/energy_mae_per_atom"),
        over_epochs("training loss", "train/loss"),
    ]
    return section("Accuracy", plots)


def scans() -> workspaces.Section:
    """Pictures of the worst scans, with a slider over time."""
    keys = [f"{stage}/bsct/worst_{place}" for stage in ("val", "test") for place in range(1, WORST + 1)]
    return section("Scans", [panels.MediaBrowser(title=key, media_keys=[key], num_columns=1) for key in keys])


def over_epochs(title: str, *metrics: str) -> panels.LinePlot:
    """Lines over epochs."""
    return panels.LinePlot(title=title, x="epoch", y=list(metrics))


def section(name: str, panels: list) -> workspaces.Section:
    """An open section."""
    return workspaces.Section(name=name, panels=panels, is_open=True)


if __name__ == "__main__":
    sys.exit(main())
