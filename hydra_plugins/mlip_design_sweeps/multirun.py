"""Before and after every multirun, whatever sweeper and launcher it has."""

from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf


class Multirun(Callback):
    """Refuses to mix two grids in one folder; at the end says how many runs finished, and fails if some failed."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Compare with the grid whose runs are in the folder, if there is one."""
        folder = Path(str(config.hydra.sweep.dir))
        file = folder / "multirun.yaml"
        if not file.exists():
            return
        now, earlier = (list(c.hydra.overrides.task) for c in (config, OmegaConf.load(file)))
        if now != earlier:
            print_error(
                f"{folder} holds the runs of {' '.join(earlier)}, not of {' '.join(now)}; "
                "give the same to go on with them, or another hydra.sweep.dir"
            )
            raise SystemExit(2)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Count the runs."""
        from mlip_design.report.sweep import ending
        from mlip_design.selection.runs import load_runs

        folder = Path(str(config.hydra.sweep.dir))
        try:
            runs, unreadable = load_runs([folder])
        except ValueError:  # no runs
            return
        print(ending(folder, runs, unreadable), flush=True)
        if unreadable or any(run.status in ("failed", "diverged") for run in runs):
            raise SystemExit(1)


def print_error(line: str) -> None:
    """Print to stderr as `train.refuse` does; an exception would not leave a callback of Hydra."""
    import sys

    print(f"error: {line}", file=sys.stderr)
