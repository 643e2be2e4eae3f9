"""`Task`: how a potential is trained and evaluated (Lightning)."""

from collections.abc import Callable
from dataclasses import replace

import pytorch_lightning as pl
import torch
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.optim import Optimizer
from torchmetrics import MeanMetric

from mlip_design.compiled import CompiledPotential
from mlip_design.graph import AtomGraph, random_rotations, rotated
from mlip_design.loss import EnergyForcesLoss
from mlip_design.metrics import EQUIVARIANCE_ERROR, split_metrics
from mlip_design.potential import Potential, Prediction


class DivergedError(RuntimeError):
    """The training loss is no longer finite."""


class Task(pl.LightningModule):
    """Energy and force training of a potential.

    optimizer: makes the optimizer of parameter groups. schedule: (optimizer, n_steps) -> learning-rate scheduler,
    stepped every batch. splits: stage ('val', 'test') -> names of its evaluation splits, in loader order.
    model_config: plain mapping that builds the potential again; kept in every checkpoint. regularizer: (potential,
    batch, step) -> a scalar added to the loss, None for none. rotate: turn every training structure at random each time
    it is seen. seed: of these rotations. compile: train with fused operations (see `compiled`). Raises ValueError for a
    loss on a stress that the potential does not have, and for a potential that cannot be compiled.
    """

    def __init__(
        self,
        potential: Potential,
        loss: EnergyForcesLoss,
        optimizer: Callable[[list[dict]], Optimizer],
        schedule: Callable,
        splits: dict[str, list[str]],
        model_config: dict,
        regularizer: Callable[[Potential, AtomGraph, int], Tensor] | None,
        rotate: bool,
        seed: int,
        compile: bool,
    ):
        super().__init__()
        if loss.stress_weight and not potential.has_stress:
            raise ValueError(
                f"loss.stress_weight: {loss.stress_weight} must be 0 with direct forces, which leave no stress"
            )
        self.potential = potential
        self.loss = loss
        self.make_optimizer = optimizer
        self.make_schedule = schedule
        self.splits = splits
        self.model_config = model_config
        self.regularizer = regularizer
        self.rotate = rotate
        self.seed = seed
        self.compiled = CompiledPotential(potential) if compile else None
        self.metrics = nn.ModuleDict(
            {stage: nn.ModuleList(split_metrics(name) for name in names) for stage, names in splits.items()}
        )
        self.train_loss = MeanMetric()

    def forward(self, graph: AtomGraph) -> Prediction:
        """Energy and forces of a graph, ready for a loss if gradients are enabled."""
        stress = graph.stress is not None and self.loss.stress_weight > 0
        if self.compiled and torch.is_grad_enabled():
            return self.compiled(graph, stress)
        return self.potential(graph, stress=stress, create_graph=torch.is_grad_enabled())

    def training_step(self, graph: AtomGraph, batch_index: int) -> Tensor:
        """Scalar loss. Raises DivergedError, on all ranks together, when it is not finite on any."""
        if self.rotate:
            graph = rotated(graph, self.rotations(graph))
        loss = self.loss(self(graph), graph, self.potential.scale)
        if self.regularizer is not None:
            penalty = self.regularizer(self.potential, graph, self.global_step)
            self.log("train/regularizer", penalty, on_step=True, on_epoch=False)
            loss = loss + penalty
        if not self.trainer.strategy.reduce_boolean_decision(bool(torch.isfinite(loss))):
            raise DivergedError(f"the training loss became {loss.item()} in epoch {self.current_epoch}")
        self.train_loss.update(loss.detach(), graph.n_graphs)
        self.log("train/loss_step", loss, on_step=True, on_epoch=False, prog_bar=True)
        return loss

    def rotations(self, graph: AtomGraph) -> Tensor:
        """Random ones for the structures of a batch, (n_graphs, 3, 3); others at every step and on every rank."""
        return random_rotations(graph.n_graphs, (self.seed, self.global_step, self.global_rank), graph.positions)

    def backward(self, loss: Tensor, *args, **kwargs) -> None:
        """Gradients of the weights alone: forces left a graph that also leads back to the positions, for nothing."""
        loss.backward(*args, inputs=[p for p in self.parameters() if p.requires_grad], **kwargs)

    def validation_step(self, graph: AtomGraph, batch_index: int, dataloader_idx: int = 0) -> None:
        """Add a batch to the metrics of its split; of a potential that sees directions, test the first one turned."""
        prediction = self(graph)
        self.metrics["val"][dataloader_idx].update(prediction, graph)
        if batch_index == dataloader_idx == 0 and not self.potential.equivariant:
            rotations = self.rotations(graph)
            expected = rotated(replace(graph, forces=prediction.forces), rotations).forces
            error = (self(rotated(graph, rotations)).forces - expected).abs().mean()
            self.log(EQUIVARIANCE_ERROR, error, batch_size=1, sync_dist=True, add_dataloader_idx=False)

    def test_step(self, graph: AtomGraph, batch_index: int, dataloader_idx: int = 0) -> None:
        """Add a batch to the metrics of its split."""
        self.metrics["test"][dataloader_idx].update(self(graph), graph)

    def on_validation_epoch_end(self) -> None:
        """Log the metrics of the splits and, while fitting, the mean training loss since the last validation."""
        self.log_splits("val")
        if self.trainer.state.fn == TrainerFn.FITTING and not self.trainer.sanity_checking:
            self.log("train/loss", self.train_loss.compute(), sync_dist=True)
            self.train_loss.reset()

    def on_test_epoch_end(self) -> None:
        """Log the metrics of the splits."""
        self.log_splits("test")

    def log_splits(self, stage: str) -> None:
        """Log on every rank alike, also on one that had no batch of a split: computing them is collective."""
        for metrics in self.metrics[stage]:
            self.log_dict(metrics, on_step=False, on_epoch=True)

    def configure_optimizers(self) -> dict:
        """Optimizer over two groups, with and without weight decay, and the schedule of every step."""
        optimizer = self.make_optimizer(parameter_groups(self.potential))
        scheduler = self.make_schedule(optimizer, n_steps=self.trainer.estimated_stepping_batches)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        """Keep what is needed to build the potential again."""
        checkpoint["model_config"] = self.model_config


def parameter_groups(module: nn.Module) -> list[dict]:
    """Parameter groups of a module: matrices decay, embeddings, norms and biases do not."""
    embeddings = {id(m.weight) for m in module.modules() if isinstance(m, nn.Embedding)}
    decayed, free = [], []
    for parameter in module.parameters():
        (free if parameter.ndim < 2 or id(parameter) in embeddings else decayed).append(parameter)
    return [{"params": decayed}, {"params": free, "weight_decay": 0.0}]
