"""mlip_design: design machine-learning interatomic potentials by smoothness as well as accuracy."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("mlip-design")
except PackageNotFoundError:  # imported from a source tree that was never installed
    __version__ = "0+unknown"
