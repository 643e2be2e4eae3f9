"""The discontinuity probe: jumps and kinks of a potential energy surface, with no reference needed."""

from mlip_design.bsct.probe.bisection import probe_many, probe_path
from mlip_design.bsct.probe.result import Jump, Kink, Probe

__all__ = ["Jump", "Kink", "Probe", "probe_many", "probe_path"]
