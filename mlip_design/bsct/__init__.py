"""Bond Smoothness Characterization Test (BSCT): reading scans and scoring forces along them.

Plots are in `mlip_design.bsct.plots`, which alone imports matplotlib.
"""

from mlip_design.bsct.curves import DeviationCurves, deviation_curves, stress_curves
from mlip_design.bsct.probe import probe_path
from mlip_design.bsct.scans import Scan, ScanError, ScanSet, load_scans, read_scans
from mlip_design.bsct.score import (
    METRIC_KEYS,
    PUBLISHED_KEYS,
    STRESS_KEYS,
    Summary,
    aggregate,
    score_scan,
    zero_force_score,
)

__all__ = [
    "METRIC_KEYS",
    "PUBLISHED_KEYS",
    "STRESS_KEYS",
    "DeviationCurves",
    "Scan",
    "ScanError",
    "ScanSet",
    "Summary",
    "aggregate",
    "deviation_curves",
    "load_scans",
    "probe_path",
    "read_scans",
    "score_scan",
    "stress_curves",
    "zero_force_score",
]
