"""Train a potential and measure how smooth it becomes: `python train.py model=smooth_attn [key=value ...]`."""

import os
import sys
from importlib.metadata import version
from pathlib import Path

import hydra
import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from callbacks.results import Results
from mlip_design.config import CONFIG_ERRORS, explain, model_arguments, register_resolvers, resumed_config
from mlip_design.data.datamodule import StructureDataModule
from mlip_design.report.terminal import print_summary
from mlip_design.task import Task

CONFIG_DIR = Path(__file__).resolve().parent / "conf"
PACKAGES = ("mlip-design", "torch", "pytorch-lightning", "e3nn", "hydra-core", "ase", "numpy")


def train(config: DictConfig, folder: Path, last_checkpoint: Path | None) -> Results:
    """Everything between a configuration and a finished run folder; continues `last_checkpoint` if there is one."""
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
    results = Results(folder, describe(config, data, task))
    callbacks = [*instantiate(config.callbacks, _convert_="all").values(), results]
    logger = instantiate(config.logger) or False
    trainer: pl.Trainer = instantiate(config.trainer)(callbacks=callbacks, logger=logger)

    OmegaConf.save(config, folder / "config.yaml")
    try:
        trainer.fit(task, data, ckpt_path=last_checkpoint)
        best = trainer.checkpoint_callback.best_model_path
        # not through ckpt_path: that would bring back the weights before averaging
        task.load_state_dict(torch.load(best, weights_only=True)["state_dict"])
        trainer.test(task, data, verbose=False)
        results.close(trainer)
    except BaseException as error:
        results.close(trainer, error)
        raise
    return results


def describe(config: DictConfig, data: StructureDataModule, task: Task) -> dict:
    """What `results.json` says of a run beside its metrics."""
    return {
        "seed": config.seed,
        "overrides": list(config.overrides),
        "data": data.describe(),
        "parameters": sum(parameter.numel() for parameter in task.parameters()),
        "versions": {name: version(name) for name in PACKAGES},
    }


@hydra.main(config_path=str(CONFIG_DIR), config_name="train", version_base="1.3")
def job(config: DictConfig) -> float | None:
    """One run, alone or in a sweep."""
    hydra_config = HydraConfig.get()
    folder = Path(hydra_config.runtime.output_dir)
    overrides = list(hydra_config.overrides.task)
    last_checkpoint = None
    if config.resume:
        config = resumed_config(folder, overrides)
        last = folder / "checkpoints" / "last.ckpt"
        last_checkpoint = last if last.exists() else None
    elif (folder / "config.yaml").exists():
        raise ValueError(
            f"{folder} already holds a run; continue it with resume={folder}, or choose another folder"
        )
    else:
        OmegaConf.update(config, "overrides", overrides, force_add=True)
    exit_code = 1
    try:
        results = train(config, folder, last_checkpoint)
        exit_code = 0
    finally:
        if wandb := sys.modules.get("wandb"):
            wandb.finish(exit_code=exit_code, quiet=True)
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    print_summary(results.as_dict(), results.history, folder)


def main() -> None:
    """Run, and turn a mistake in the command line or the input into one line and exit status 2."""
    os.environ["HYDRA_FULL_ERROR"] = "1"
    register_resolvers()
    try:
        job()
    except CONFIG_ERRORS as error:
        print(f"error: {explain(error, CONFIG_DIR)}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
