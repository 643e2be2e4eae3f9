"""What commands share: a parser that raises, kinds of arguments, JSON output, optional packages."""

import argparse
import importlib.util
import json
from pathlib import Path

EXTRAS = {"phonopy": "phonons", "rdkit": "xtb", "tblite": "xtb"}  # module: extra of the package that installs it


class Parser(argparse.ArgumentParser):
    """Reports a wrong argument as a `ValueError`, so that it becomes one line like any other bad input."""

    def error(self, message: str):
        raise ValueError(f"{message} (see {self.prog} --help)")


def need(*modules: str) -> None:
    """Check that optional modules are installed."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise ValueError(f"{module} is not installed: pip install 'mlip-design[{EXTRAS[module]}]'")


def write_json(path: Path | None, result: dict) -> None:
    if path is not None:
        path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def check_out(out: Path | None, *others: str) -> None:
    """Raise ValueError if --out is a file, or a folder that has the page of something else.

    others: names of files that only folders of something else hold.
    """
    if out is not None and out.exists() and not out.is_dir():
        raise ValueError(f"--out: {out} is a file, expected a folder or a new name")
    for name in others:
        if out is not None and (out / name).exists():
            raise ValueError(f"--out: {out} holds {name}, whose report.html would be written over; choose another")


def check_model_options(args: argparse.Namespace) -> None:
    """Raise ValueError for options of a checkpoint that come with a calculator."""
    from mlip_design.evaluator import is_calculator

    if is_calculator(args.model) and (args.device or args.dtype):
        raise ValueError(f"--device, --dtype: {args.model} is a calculator; tell it by --calculator-args")


def check_json(path: Path | None) -> None:
    """Raise ValueError if --json could not be written when the work is done."""
    if path is not None and (path.is_dir() or not path.parent.is_dir()):
        raise ValueError(f"--json: {path} cannot be a file, expected one in a folder that exists")


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {text}")
    return number


def fraction(text: str) -> float:
    number = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"must be from 0 to 1, as 0.05 or 5%, not {text}")
    return number


def add_metrics(command: argparse.ArgumentParser) -> None:
    command.add_argument("--x", default="val/forces_mae", help="first metric (default: %(default)s)")
    command.add_argument("--y", default="val/bsct/full_smoothness", help="second metric (default: %(default)s)")
    text = "a further metric that counts in who beats whom; may be given several times"
    command.add_argument("--also", action="append", default=[], metavar="METRIC", help=text)


def add_rule(command: argparse.ArgumentParser) -> None:
    text = "how far rule epsilon goes above the lowest x for a lower y (default: 5%%)"
    command.add_argument("--epsilon", type=fraction, default=0.05, help=text)
    command.add_argument("--allow-mixed", action="store_true", help="compare runs of unequal budget or data")
    command.add_argument("--json", type=Path, metavar="FILE", help="also write everything to FILE")


def add_allow(command: argparse.ArgumentParser) -> None:
    text = "blocks of this module, too, may be loaded, such as mypackage.blocks; may be given several times"
    command.add_argument("--allow", action="append", default=[], metavar="MODULE", help=text)
