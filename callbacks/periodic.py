"""What measures the averaged weights after the validation of every n-th epoch: the company that it needs, and when."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, WeightAveraging
from pytorch_lightning.trainer.states import TrainerFn

from callbacks.measured import check_cadence
from callbacks.wandb_log import plot_over_epochs, wandb_loggers
from mlip_design.potential import Potential


class Periodic(Callback, ABC):
    """A callback that logs `keys` by `measure`; they are val/`group`/..., and `name` is its own in the configuration.

    It moves before a callback that averages weights, which swaps them back after validation.
    """

    name: ClassVar[str]
    group: ClassVar[str]
    keys: ClassVar[Sequence[str]]

    def __init__(self, every_n_epochs: int):
        self.every_n_epochs = every_n_epochs

    @abstractmethod
    def prepare(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Find what will be measured on."""

    @abstractmethod
    def measure(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Measure, and log all keys."""

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Prepare, take the place before averaging, check the company of other callbacks."""
        if stage not in ("fit", "validate"):
            return
        self.prepare(trainer, pl_module)
        if stage == "fit":
            check_cadence(trainer, self.group, self.name, self.every_n_epochs)
            self.move_before_averaging(trainer.callbacks)
            for logger in wandb_loggers(trainer):
                plot_over_epochs(logger, self.keys)

    def move_before_averaging(self, callbacks: list[Callback]) -> None:
        """Take the place before the first callback that averages weights."""
        places = [place for place, other in enumerate(callbacks) if isinstance(other, WeightAveraging)]
        if places and places[0] < callbacks.index(self):
            callbacks.remove(self)
            callbacks.insert(places[0], self)

    def logged(self, potential: Potential) -> list[str]:
        """Names of all metrics of a validation."""
        return list(self.keys)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Measure; in an epoch that is not due, take back what an earlier one said."""
        if trainer.sanity_checking:
            return
        if trainer.state.fn != TrainerFn.FITTING or (trainer.current_epoch + 1) % self.every_n_epochs == 0:
            self.measure(trainer, pl_module)
        else:
            for key in self.keys:
                trainer.callback_metrics.pop(key, None)
