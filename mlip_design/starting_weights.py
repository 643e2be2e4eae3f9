"""Begin a training with the weights of another run instead of random ones: `init_from`.

Every block but the readout must be of the same kind and shape in both; what a readout shares with the other, by name
and shape, is taken over (the energies of a `direct` readout are those of a `gradient` one), the rest of it stays fresh.
The scale of energies and forces comes along, since the weights were trained in its units; reference energies are those
of the new training set. Arguments without weights, such as a cutoff, may differ.
"""

from pathlib import Path

from ase.data import chemical_symbols
from torch import Tensor, nn

from mlip_design.checkpoint import load_potential
from mlip_design.potential import Potential

SAME = ("neighbors", "envelope", "basis", "backbone", "repulsion")


def start_from(potential: Potential, path: str | Path, new_elements: bool) -> None:
    """Give a calibrated potential the weights of a checkpoint or run folder.

    new_elements: whether elements that the other has not seen may start from random weights. Raises ValueError or
    FileNotFoundError, before anything is changed.
    """
    if not isinstance(new_elements, bool):
        raise ValueError(f"init_new_elements: {new_elements!r} is not true or false")
    other = load_potential(path, potential.device, potential.dtype)
    unknown = sorted(set(potential.elements) - set(other.elements))
    if unknown and not new_elements:
        new, known = (", ".join(chemical_symbols[n] for n in numbers) for numbers in (unknown, other.elements))
        raise ValueError(
            f"init_from={path}: it was not trained on {new} (it knows {known}); "
            "init_new_elements=true lets these start from random weights"
        )
    for name in SAME:
        check_same(f"init_from={path}", name, other.get_submodule(name), potential.get_submodule(name))
    for name in SAME:
        potential.get_submodule(name).load_state_dict(other.get_submodule(name).state_dict())
    fresh = potential.readout.state_dict()
    shared = {k: v for k, v in other.readout.state_dict().items() if k in fresh and v.shape == fresh[k].shape}
    potential.readout.load_state_dict(fresh | shared)
    potential.scale.copy_(other.scale)


def check_same(where: str, name: str, theirs: nn.Module, ours: nn.Module) -> None:
    """Raise ValueError naming the first part of a block, or the first weight, in which two differ."""
    kinds = [{k: type(m).__name__ for k, m in module.named_modules()} for module in (theirs, ours)]
    shapes = [{k: shape(v) for k, v in module.state_dict().items()} for module in (theirs, ours)]
    for their, our in (kinds, shapes):
        for key in {**our, **their}:
            if their.get(key) != our.get(key):
                part = ".".join(filter(None, ("model", name, key)))
                raise ValueError(
                    f"{where}: {part} is {their.get(key, 'absent')} there and {our.get(key, 'absent')} here"
                )


def shape(weight: Tensor) -> str:
    """Such as '64 x 32'."""
    return " x ".join(map(str, weight.shape)) or "one number"
