"""Configuration: resolvers, and what to tell a person whose command line Hydra refuses."""

import re
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, InstantiationException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationResolutionError, MissingMandatoryValue, OmegaConfBaseException
from yaml import YAMLError

from mlip_design.data.bundled import bundled_path

CONFIG_DIR = Path(__file__).resolve().parents[1] / "conf"
"""The configuration groups, beside this package."""

CONFIG_ERRORS = (HydraException, OmegaConfBaseException, YAMLError, ValueError, OSError)
"""What a wrong configuration or wrong input raises before training starts."""

BUGS = (AttributeError, AssertionError, LookupError, NameError, NotImplementedError)
"""What building an object raises if its code is wrong, rather than its arguments."""

PARTS = ("attention", "activation")
"""Groups of blocks that enter a potential as arguments of other blocks."""

LAUNCHERS = {"submitit_slurm": "slurm", "submitit_local": "slurm", "ray": "ray"}
"""Launchers of Hydra that come with an extra of this package -> the extra."""


def register_resolvers() -> None:
    """Resolvers of the YAML files.

    ${bundled:FILE}: a file of the bundled set. ${run_dir:}: the run folder.
    ${run_folder:RESUME,FRESH}: where to run: the folder to resume, if one is given.
    ${sweep_name:}: the name of the sweep folder, null of a run that is alone.
    """
    resolvers = {
        "bundled": lambda name: str(bundled_path(name)),
        "run_dir": lambda: HydraConfig.get().runtime.output_dir,
        "run_folder": lambda resume, fresh: resume or fresh,
        "sweep_name": sweep_name,
    }
    for name, function in resolvers.items():
        OmegaConf.register_new_resolver(name, function, replace=True)


def sweep_name() -> str | None:
    """The name of the sweep folder of which this run is a trial."""
    is_trial = HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN
    return Path(HydraConfig.get().sweep.dir).name if is_trial else None


def check_flags(arguments: list[str]) -> None:
    """Raise ValueError for an option that Hydra does not have; its own parser would print its whole usage."""

    def complain(message: str) -> None:
        raise ValueError(f"{message}; settings have the form key=value, options are shown by --hydra-help")

    parser = get_args_parser()
    parser.error = complain
    parser.parse_args(arguments)


def model_arguments(config: DictConfig) -> dict:
    """The model node, resolved, as a plain mapping that builds the potential; parts of blocks stand in these alone."""
    arguments = OmegaConf.to_container(config.model, resolve=True)
    return {name: argument for name, argument in arguments.items() if name not in PARTS}


def explain(error: BaseException, config: DictConfig | None = None) -> str:
    """One line that says what was wrong with the command line or the input, and what is closest or allowed.

    config: the composed configuration, as far as it came to that.
    """
    if isinstance(error, MissingConfigException):
        return explain_missing_choice(error)
    if isinstance(error, InstantiationException):
        return explain_instantiation(error, config)
    if isinstance(error, OverrideParseException):
        return explain_argument(str(error.override))
    if isinstance(error, MissingMandatoryValue):
        key = error.full_key or one_line(error).rsplit(" ", 1)[-1]
        return f"{key} must be given: add {key}=... to the command line"
    if isinstance(error, InterpolationResolutionError):  # raised by a resolver; its own message is what matters
        return one_line(error).partition("raised while resolving interpolation: ")[2] or one_line(error)
    unknown = re.search(r"Could not (?:override|append|find override|delete)[^']*'([^']+)'", str(error))
    if unknown and isinstance(error, HydraException):
        return unknown_key(unknown.group(1).split("@")[0])
    return one_line(error)


def explain_instantiation(error: InstantiationException, config: DictConfig | None) -> str:
    """An object that its configuration could not build."""
    if isinstance(error.__cause__, OmegaConfBaseException):
        return explain(error.__cause__, config)
    found = re.search(r"full_key: (\S+)", str(error))
    key = found.group(1) if found else ""
    if (CONFIG_DIR / "model" / key.partition(".")[0]).is_dir():  # blocks are built from the model node alone
        key = f"model.{key}".rstrip(".")
    cause = error.__cause__ or error
    if isinstance(cause, ValueError | OSError):
        return f"{key}: {one_line(cause)}" if key.startswith("model") else one_line(cause)
    node = OmegaConf.select(config, key) if config is not None and key else None
    given = (
        {} if node is None else {k: v for k, v in node.items() if isinstance(v, int | float | str) and k[0] != "_"}
    )
    values = ", ".join(f"{name}={value}" for name, value in given.items()) or "these values"
    return f"{key}: cannot be built from {values} ({type(cause).__name__}: {one_line(cause)})"


def explain_argument(argument: str) -> str:
    """An argument that is not an override."""
    path = Path(argument)
    if path.suffix not in (".yaml", ".yml"):
        return f"argument {argument!r} is not of the form key=value (an architecture is chosen by model=NAME)"
    choice = f"{path.parent.name or 'GROUP'}={path.stem}"
    return f"argument {argument!r}: a file is not given as it is; save it as conf/GROUP/NAME.yaml and say {choice}"


def explain_missing_choice(error: MissingConfigException) -> str:
    """A group without the option that was asked for."""
    group, _, name = str(error.missing_cfg_file).rpartition("/")
    if name in LAUNCHERS:
        return f"{group}={name} is not installed: pip install 'mlip-design[{LAUNCHERS[name]}]'"
    options = [str(option) for option in error.options or ()]
    close = get_close_matches(name, options, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    return f"{group or 'config'}={name}: there is no {name!r}{hint}; there are {', '.join(sorted(options))}"


def unknown_key(key: str) -> str:
    """A key that the configuration does not have, with the closest one that it has."""
    known = [*config_groups()]
    if "/" not in key:
        known += config_keys()
    last_words = {name.rpartition(".")[2]: name for name in reversed(known)}
    close = get_close_matches(key, known, n=1)
    close = close or [last_words[word] for word in get_close_matches(key.rpartition(".")[2], last_words, n=1)]
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"{key}: no such key or group{hint}"


def config_groups() -> Iterator[str]:
    """Names of all config groups, such as 'model' and 'model/attention'."""
    return (str(path.relative_to(CONFIG_DIR)) for path in sorted(CONFIG_DIR.rglob("*")) if path.is_dir())


def config_keys() -> Iterator[str]:
    """Dotted names of all keys of the default configuration."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        return iter(list(dotted(compose("train"))))


def dotted(config: DictConfig, prefix: str = "") -> Iterator[str]:
    """Dotted names of every key below a node."""
    for key in config:
        yield f"{prefix}{key}"
        child = (
            None if OmegaConf.is_missing(config, key) or OmegaConf.is_interpolation(config, key) else config[key]
        )
        if isinstance(child, DictConfig):
            yield from dotted(child, f"{prefix}{key}.")


def one_line(error: BaseException) -> str:
    """The first line of a message, or the name of the error if it has none."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0].strip() if lines else type(error).__name__
