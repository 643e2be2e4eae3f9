"""Lightning data modules: named splits of labelled structures -> batches of `AtomGraph`."""

from functools import partial

import pytorch_lightning as pl
from torch.utils.data import DataLoader

from mlip_design.data.batching import AtomBatchSampler
from mlip_design.data.dataset import StructureDataset
from mlip_design.graph import batch_structures
from mlip_design.potential import Potential, Statistics
from mlip_design.precision import floating_point
from mlip_design.structures import StructureError

EVALUATION_SPLITS = ("val", "val_new", "test", "test_new")
"""Splits a data module may have beside `train`; `_new` marks systems of which training saw no frame."""


class StructureDataModule(pl.LightningDataModule):
    """Named data sets and how they are batched.

    splits: name -> data set; `train` and `val` are required. cutoff: Å, for the candidate pairs; the model's own.
    max_atoms: limit of a training batch; evaluation batches hold four times as many. workers: processes that
    prepare batches, 0 for none. seed: order of the training structures. dtype: name of the floating-point type.
    """

    def __init__(
        self,
        splits: dict[str, StructureDataset],
        cutoff: float,
        max_atoms: int,
        workers: int,
        seed: int,
        dtype: str,
    ):
        super().__init__()
        for name, dataset in splits.items():
            if not len(dataset):
                raise StructureError(f"data.{name}: the split is empty; it must hold at least one structure")
        self.splits = splits
        self.cutoff = cutoff
        self.max_atoms = max_atoms
        self.workers = workers
        self.seed = seed
        self.dtype = floating_point(dtype)

    def statistics(self) -> Statistics:
        """Reference energies, scale and mean number of neighbours of the training split."""
        return self.splits["train"].statistics(self.cutoff)

    def names(self, stage: str) -> list[str]:
        """Evaluation splits of a stage, 'val' or 'test', in the order of its data loaders."""
        return [name for name in EVALUATION_SPLITS if name.startswith(stage) and name in self.splits]

    def check_elements(self, potential: Potential) -> None:
        """Raise `UnknownElementError` if a split holds an element that the potential does not know."""
        for name, dataset in self.splits.items():
            potential.check_elements(dataset.elements, f"data.{name}")

    def describe(self) -> dict[str, dict[str, float]]:
        """Size of every split and its mean absolute force component (eV/Å), the error of zero forces."""
        return {
            name: {
                "structures": len(dataset),
                "atoms": int(dataset.sizes.sum()),
                "mean_absolute_force": dataset.mean_absolute_force,
            }
            for name, dataset in self.splits.items()
        }

    def train_dataloader(self) -> DataLoader:
        """Shuffled batches of at most max_atoms atoms, shared out over the ranks."""
        return self.loader("train", self.max_atoms, shuffle=True)

    def val_dataloader(self) -> list[DataLoader]:
        """One loader for each validation split."""
        return [self.loader(name, 4 * self.max_atoms, shuffle=False) for name in self.names("val")]

    def test_dataloader(self) -> list[DataLoader]:
        """One loader for each test split."""
        return [self.loader(name, 4 * self.max_atoms, shuffle=False) for name in self.names("test")]

    def loader(self, split: str, max_atoms: int, shuffle: bool) -> DataLoader:
        """Loader of one split."""
        dataset = self.splits[split]
        rank, n_ranks = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        return DataLoader(
            dataset,
            batch_sampler=AtomBatchSampler(dataset.sizes, max_atoms, shuffle, self.seed, rank, n_ranks),
            collate_fn=partial(batch_structures, cutoff=self.cutoff, dtype=self.dtype),
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
        )
