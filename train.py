"""Train a potential and measure how smooth it becomes: `python train.py model=smooth_attn [key=value ...]`."""

import os
import signal
import sys
import traceback
from importlib.metadata import version
from pathlib import Path

import hydra
import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.utilities.exceptions import MisconfigurationException, SIGTERMException
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from callbacks.checkpoint_io import AtomicCheckpointIO
from callbacks.progress import silence_lightning
from callbacks.results import Results
from mlip_design.arguments import check_arguments
from mlip_design.config import (
    BUGS,
    CONFIG_ERRORS,
    check_flags,
    explain,
    model_arguments,
    register_resolvers,
    resumed_config,
)
from mlip_design.data.datamodule import StructureDataModule
from mlip_design.report.terminal import print_summary
from mlip_design.task import DivergedError, Task

CONFIG_DIR = Path(__file__).resolve().parent / "conf"
INPUT_ERRORS = (*CONFIG_ERRORS, MisconfigurationException)
PACKAGES = ("mlip-design", "torch", "pytorch-lightning", "e3nn", "hydra-core", "ase", "numpy")


def train(config: DictConfig, folder: Path, last_checkpoint: Path | None) -> Results:
    """Everything between a configuration and a finished run folder; continues `last_checkpoint` if given."""
    silence_lightning()
    torch.set_num_threads(config.threads)
    pl.seed_everything(config.seed, verbose=False)
    data: StructureDataModule = instantiate(config.batching)(splits=instantiate(config.data))
    model = model_arguments(config)
    potential = instantiate(model).to(data.dtype)
    potential.calibrate(data.statistics())
    data.check_elements(potential)
    task = Task(
        potential,
        instantiate(config.loss),
        optimizer=instantiate(config.optimizer),
        schedule=instantiate(config.schedule),
        splits={stage: data.names(stage) for stage in ("val", "test")},
        model_config=model,
    )
    results = Results(folder, OmegaConf.to_yaml(config), describe(config, data, task))
    callbacks = [*instantiate(config.callbacks, _convert_="all").values(), results]
    logger = instantiate(config.logger) or False
    trainer: pl.Trainer = instantiate(config.trainer)(
        callbacks=callbacks, logger=logger, plugins=[AtomicCheckpointIO()]
    )
    for logger in trainer.loggers:
        logger.log_hyperparams(OmegaConf.to_container(config, resolve=True))

    try:
        trainer.fit(task, data, ckpt_path=last_checkpoint, weights_only=True)
        best = trainer.checkpoint_callback.best_model_path
        # not through ckpt_path: that would bring back the weights before averaging
        task.load_state_dict(torch.load(best, weights_only=True)["state_dict"])
        if data.names("test"):
            trainer.test(task, data, verbose=False)
        results.close(trainer)
    except BaseException as error:
        results.close(trainer, error)
        if isinstance(error, SIGTERMException):
            error.code = 128 + signal.SIGTERM  # Lightning's own is 0, success
        raise
    return results


def describe(config: DictConfig, data: StructureDataModule, task: Task) -> dict:
    """What `results.json` says of a run beside its metrics."""
    return {
        "seed": config.seed,
        "overrides": list(config.overrides),
        "budget": {"epochs": config.trainer.max_epochs},
        "data": data.describe(),
        "parameters": sum(parameter.numel() for parameter in task.parameters()),
        "versions": {name: version(name) for name in PACKAGES},
    }


@hydra.main(config_path=str(CONFIG_DIR), config_name="train", version_base="1.3")
def job(config: DictConfig) -> float | None:
    """One run, alone or in a sweep."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    exit_code = 1
    torch.set_flush_denormal(True)  # envelopes and Gaussians fade to numbers that a CPU is slow with
    try:
        config, last_checkpoint = begun(config, folder)
        check_arguments(config)
        results = train(config, folder, last_checkpoint)
        exit_code = 0
    except INPUT_ERRORS as error:
        refuse(error, config)
    except DivergedError as error:
        sys.exit(f"diverged: {error}; a smaller optimizer.lr may help (the record is in {folder})")
    finally:
        torch.set_flush_denormal(False)
        if wandb := sys.modules.get("wandb"):
            wandb.finish(exit_code=exit_code)
        remove_empty(folder)
    if rank_zero_only.rank == 0:
        print_summary(results.as_dict(), results.history, folder)


def begun(config: DictConfig, folder: Path) -> tuple[DictConfig, Path | None]:
    """The configuration to run and the checkpoint to continue from, if any. No folder is used for two runs."""
    overrides = list(HydraConfig.get().overrides.task)
    if config.resume:
        last = folder / "checkpoints" / "last.ckpt"
        return resumed_config(folder, overrides), last if last.exists() else None
    if (folder / "config.yaml").exists():
        raise ValueError(
            f"{folder} already holds a run; continue it with resume={folder}, or choose another folder"
        )
    OmegaConf.update(config, "overrides", overrides, force_add=True)
    return config, None


def remove_empty(folder: Path) -> None:
    """Remove a run folder in which nothing was written, and the folders around it, below here, made for it."""
    here = Path.cwd()
    for path in (folder, *(parent for parent in folder.parents if here in parent.parents)):
        if path == here or not path.is_dir() or any(path.iterdir()):
            break
        path.rmdir()


def refuse(error: BaseException, config: DictConfig | None = None) -> None:
    """Tell a mistake in the command line or the input in one line and exit with status 2; raise others again."""
    is_training = any(
        frame.f_code is pl.Trainer._run_stage.__code__ for frame, _ in traceback.walk_tb(error.__traceback__)
    )
    is_bug = isinstance(error, InstantiationException) and isinstance(error.__cause__, BUGS)
    if is_training or is_bug:
        raise error
    print(f"error: {explain(error, CONFIG_DIR, config)}", file=sys.stderr)
    sys.exit(2)


def main() -> None:
    """Run one job or several."""
    os.environ["HYDRA_FULL_ERROR"] = "1"
    register_resolvers()
    try:
        check_flags(sys.argv[1:])
        job()
    except INPUT_ERRORS as error:
        refuse(error)


if __name__ == "__main__":
    main()
