"""What `train.py` makes of a configuration: a run, or a trial of a sweep, and one line for what is wrong with it."""

import gc
import math
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.utilities.exceptions import MisconfigurationException, SIGTERMException
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from callbacks.checkpoint_io import AtomicCheckpointIO
from callbacks.failure import leave_record
from callbacks.measured import check_monitors
from callbacks.progress import silence_lightning
from callbacks.results import GivenUpError, Results
from mlip_design.arguments import check_arguments
from mlip_design.config import (
    BUGS,
    CONFIG_ERRORS,
    explain,
    model_arguments,
    one_line,
    register_resolvers,
)
from mlip_design.data.datamodule import StructureDataModule
from mlip_design.files import replacing
from mlip_design.memory import keep_freed_memory
from mlip_design.report.terminal import print_summary
from mlip_design.run_folder import begun, check_same_run, remove_empty
from mlip_design.starting_weights import start_from
from mlip_design.sweep.record import is_over, recorded
from mlip_design.task import DivergedError, Task

INPUT_ERRORS = (*CONFIG_ERRORS, MisconfigurationException)
PACKAGES = ("mlip-design", "torch", "pytorch-lightning", "e3nn", "hydra-core", "ase", "numpy")


def train(config: DictConfig, folder: Path, last_checkpoint: Path | None) -> Results:
    """Everything between a configuration and a finished run folder; continues `last_checkpoint` if given."""
    silence_lightning()
    torch.set_num_threads(config.threads)
    keep_freed_memory()
    pl.seed_everything(config.seed, verbose=False)
    data: StructureDataModule = instantiate(config.batching)(splits=instantiate(config.data))
    model = model_arguments(config)
    potential = instantiate(model).to(data.dtype)
    potential.calibrate(data.statistics())
    if config.init_from and not last_checkpoint:
        start_from(potential, config.init_from, config.init_new_elements)
    data.check_elements(potential)
    task = Task(
        potential,
        instantiate(config.loss),
        optimizer=instantiate(config.optimizer),
        schedule=instantiate(config.schedule),
        splits={stage: data.names(stage) for stage in ("val", "test")},
        model_config=model,
        regularizer=instantiate(config.get("regularizer")),
        rotate=config.rotate,
        seed=config.seed,
        compile=config.compile,
    )
    parameters = sum(parameter.numel() for parameter in task.parameters())
    results = Results(folder, OmegaConf.to_yaml(config), describe(config, data.describe(), parameters))
    callbacks = instantiate(config.callbacks, _convert_="all")
    check_monitors(callbacks, task)
    logger = instantiate(config.logger) or False
    trainer: pl.Trainer = instantiate(config.trainer)(
        callbacks=[*callbacks.values(), results], logger=logger, plugins=[AtomicCheckpointIO()]
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


def describe(config: DictConfig, data: dict, parameters: int | None) -> dict:
    """What `results.json` says of a run beside its metrics. data: `StructureDataModule.describe`."""
    return {
        "seed": config.seed,
        "overrides": list(config.overrides),
        "budget": {"epochs": config.trainer.max_epochs},
        "data": data,
        "parameters": parameters,
        "versions": {name: version(name) for name in PACKAGES},
    }


def run_job(config: DictConfig) -> list[float] | float | None:
    """One run, alone or as a trial of a sweep; a trial returns its objectives."""
    register_resolvers()  # a launcher calls this in processes that know nothing
    folder = Path(HydraConfig.get().runtime.output_dir)
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        return trial(config, folder)
    try:
        with isolated(folder):
            overrides = list(HydraConfig.get().overrides.task)
            config, last_checkpoint = begun(config, folder, overrides, is_trial=False)
            check_arguments(config)
            results = train(config, folder, last_checkpoint)
    except INPUT_ERRORS as error:
        refuse(error, config)
    except DivergedError as error:
        sys.exit(f"diverged: {error}; a smaller optimizer.lr may help (the record is in {folder})")
    except GivenUpError as error:
        sys.exit(f"stopped: {error} (the record is in {folder})")
    if rank_zero_only.rank == 0:
        print_summary(results.as_dict(), results.history, folder)


def trial(config: DictConfig, folder: Path) -> list[float] | float:
    """A run of a sweep; its objectives, NaN without one. What goes wrong is recorded, and the sweep goes on.

    A run that was finished in this folder before is kept, one that was killed is continued.
    """
    overrides = list(HydraConfig.get().overrides.task)
    OmegaConf.update(config, "overrides", overrides, force_add=True)
    try:
        check_same_run(folder, overrides)
        run = recorded(folder)
    except INPUT_ERRORS as error:
        refuse(error)
    if is_over(run) and run.status != "failed":
        announce(f"trial {folder.name} ({' '.join(overrides)}): {run.status} before, kept")
    else:
        announce(f"trial {folder.name} ({' '.join(overrides)})")
        try:
            with isolated(folder):
                config, last_checkpoint = begun(config, folder, overrides, is_trial=True)
                check_arguments(config)
                train(config, folder, last_checkpoint)
        except Exception as error:
            record_failure(error, config, folder)
        gc.collect()  # what a trial held is free for the next one
        run = recorded(folder)
    values = [run.value(name) if run.finished else math.nan for name in config.objectives]
    return values[0] if len(values) == 1 else values


def record_failure(error: Exception, config: DictConfig, folder: Path) -> None:
    """Leave in the folder of a trial why it came to no end, unless its record says so already; print it."""
    try:
        reason = explanation(error, config)
    except (DivergedError, GivenUpError):
        reason = str(error)
    except Exception:
        reason = f"{type(error).__name__}: {one_line(error)}"
        with replacing(folder / "traceback.txt") as file:
            traceback.print_exception(error, file=file)
    run = leave_record(Results(folder, OmegaConf.to_yaml(config), describe(config, {}, None)), reason)
    announce(f"trial {folder.name} {run.status}: {run.reason}")


def announce(line: str) -> None:
    """Print a line about a trial, unless its sweeper does that."""
    if not HydraConfig.get().sweeper._target_.endswith("ParetoSweeper"):
        print(line, flush=True)


@contextmanager
def isolated(folder: Path) -> Iterator[None]:
    """A run changes nothing of this process for the next one, whatever becomes of it, and leaves no empty folder."""
    exit_code = 1
    torch.set_flush_denormal(True)  # envelopes and Gaussians fade to numbers that a CPU is slow with
    try:
        yield
        exit_code = 0
    finally:
        torch.set_flush_denormal(False)
        if wandb := sys.modules.get("wandb"):
            wandb.finish(exit_code=exit_code)
        remove_empty(folder)


def refuse(error: BaseException, config: DictConfig | None = None) -> None:
    """Tell a mistake in the command line or the input in one line and exit with status 2; raise others again."""
    print(f"error: {explanation(error, config)}", file=sys.stderr)
    sys.exit(2)


def explanation(error: BaseException, config: DictConfig | None = None) -> str:
    """One line for a mistake in the command line or the input; other errors are raised again."""
    is_training = any(
        frame.f_code is pl.Trainer._run_stage.__code__ for frame, _ in traceback.walk_tb(error.__traceback__)
    )
    is_bug = isinstance(error, InstantiationException) and isinstance(error.__cause__, BUGS)
    if is_training or is_bug or not isinstance(error, INPUT_ERRORS):
        raise error
    return explain(error, config)
