"""Train a potential and measure how smooth it becomes: `python train.py model=smooth_attn [key=value ...]`."""

import os
import sys

import hydra
from omegaconf import DictConfig

from mlip_design.config import CONFIG_DIR, CONFIG_ERRORS, check_flags, register_resolvers


@hydra.main(config_path=str(CONFIG_DIR), config_name="train", version_base="1.3")
def job(config: DictConfig) -> list[float] | float | None:
    """One run, alone or as a trial of a sweep; a trial returns its objectives."""
    from callbacks.job import run_job  # Lightning takes seconds to import, for which `--help` need not wait

    return run_job(config)


def main() -> None:
    """Run one job or several."""
    os.environ["HYDRA_FULL_ERROR"] = "1"
    register_resolvers()
    try:
        check_flags(sys.argv[1:])
        job()
    except CONFIG_ERRORS as error:
        from callbacks.job import refuse

        refuse(error)


if __name__ == "__main__":
    main()
