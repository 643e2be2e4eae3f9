"""How metrics are written for people: a short name, a unit, a scale."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Quantity:
    """A metric as people read it."""

    name: str
    unit: str
    factor: float
    """What values of `results.json` are multiplied by."""
    digits: int | None
    """Decimals; None for four significant figures."""

    @property
    def heading(self) -> str:
        """Name and unit."""
        return f"{self.name}, {self.unit}" if self.unit else self.name

    def number(self, value: float | None) -> str:
        """A value of `results.json` in this unit, without it; a dash where there is none."""
        if value is None:
            return "-"
        value *= self.factor
        return f"{value:.4g}" if self.digits is None else f"{value:.{self.digits}f}"

    def text(self, value: float | None) -> str:
        """The same with its unit."""
        return f"{self.number(value)} {self.unit}".strip()


KINDS = (
    ("forces_mae", "force MAE", "meV/Å", 1000, 1),
    ("energy_mae_per_atom", "energy MAE", "meV/atom", 1000, 1),
    ("energy_mae", "energy MAE", "meV", 1000, 1),
    ("full_smoothness", "FSD", "1/Å", 1, 1),  # full is what FSD means unless another region is named
    ("smoothness", "FSD", "1/Å", 1, 1),
    ("force_jump", "force jump", "meV/Å", 1000, 1),
    ("energy_jump", "energy jump", "meV", 1000, 1),
    ("drift", "drift", "meV/atom/ps", 1, 3),
    ("fluctuation", "fluctuation", "meV/atom", 1, 3),
    ("temperature_spike", "temperature spike", "K", 1, 0),
    ("equivariance_error", "equivariance error", "meV/Å", 1000, 1),
    ("seconds_per_step", "time a step", "ms", 1000, 1),
    ("seconds", "time", "s", 1, 0),
    ("parameters", "parameters", "", 1, 0),
)


def quantity(metric: str) -> Quantity:
    """How to write a metric; by its own name, in the units of `results.json`, if it is none of the known kinds."""
    group, _, key = metric.partition("/")
    for ending, name, unit, factor, digits in KINDS:
        if key.endswith(ending):
            region = key.removesuffix(ending).rpartition("/")[2].replace("_", " ").strip()
            words = [group if group != "cost" else "", region, name]
            return Quantity(" ".join(filter(None, words)), unit, factor, digits)
    return Quantity(metric, "", 1, None)
