"""Configuration: resolvers, and what to tell a person whose command line Hydra refuses."""

import re
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, InstantiationException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from mlip_design.data.bundled import bundled_path

CONFIG_ERRORS = (HydraException, OmegaConfBaseException, ValueError, FileNotFoundError)
"""What a wrong configuration or wrong input raises before training starts."""


def register_resolvers() -> None:
    """Resolvers of the YAML files.

    ${bundled:FILE}: a file of the bundled set. ${run_dir:}: the run folder.
    ${run_folder:RESUME,FRESH}: where to run: the folder to resume, if one is given.
    """
    resolvers = {
        "bundled": lambda name: str(bundled_path(name)),
        "run_dir": lambda: HydraConfig.get().runtime.output_dir,
        "run_folder": lambda resume, fresh: resume or fresh,
    }
    for name, function in resolvers.items():
        OmegaConf.register_new_resolver(name, function, replace=True)


def model_arguments(config: DictConfig) -> dict:
    """The model node, resolved, as a plain mapping that builds the potential: its `attention` is in the backbone."""
    arguments = OmegaConf.to_container(config.model, resolve=True)
    arguments.pop("attention", None)
    return arguments


def resumed_config(folder: Path, overrides: list[str]) -> DictConfig:
    """The configuration of the run in `folder`; it is continued unchanged, so no other override is accepted."""
    others = [override for override in overrides if not override.startswith("resume=")]
    if others:
        raise ValueError(f"resume={folder} continues a run as it was configured; leave out {' '.join(others)}")
    if not (folder / "config.yaml").exists():
        raise FileNotFoundError(f"resume={folder}: no run to continue there (no config.yaml)")
    return OmegaConf.load(folder / "config.yaml")


def explain(error: Exception, config_dir: Path) -> str:
    """One line that says what was wrong with the command line or the input, and what is closest or allowed."""
    if isinstance(error, MissingConfigException):
        return explain_missing_choice(error)
    if isinstance(error, InstantiationException):
        key = re.search(r"full_key: (\S+)", str(error))
        cause = error.__cause__ or error
        place = f"{key.group(1)}: " if key and not isinstance(cause, FileNotFoundError) else ""
        return place + first_line(cause)
    if isinstance(error, OverrideParseException):
        return (
            f"argument {error.override!r} is not of the form key=value (an architecture is chosen by model=NAME)"
        )
    if isinstance(error, MissingMandatoryValue):
        key = error.full_key or first_line(error).rsplit(" ", 1)[-1]
        return f"{key} must be given: add {key}=... to the command line"
    unknown = re.search(r"Could not (?:override|append|find override|delete)[^']*'([^']+)'", str(error))
    if unknown:
        return unknown_key(unknown.group(1).split("@")[0], config_dir)
    return first_line(error)


def explain_missing_choice(error: MissingConfigException) -> str:
    """A group without the option that was asked for."""
    group, _, name = str(error.missing_cfg_file).rpartition("/")
    options = [str(option) for option in error.options or ()]
    close = get_close_matches(name, options, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    return f"{group or 'config'}={name}: there is no {name!r}{hint}; there are {', '.join(sorted(options))}"


def unknown_key(key: str, config_dir: Path) -> str:
    """A key that the configuration does not have, with the closest one that it has."""
    known = [*config_keys(config_dir), *config_groups(config_dir)]
    close = get_close_matches(key.replace("/", "."), known, n=1)
    last = key.replace("/", ".").rpartition(".")[2]
    close = (
        close
        or [
            name for name in known if name.rpartition(".")[2] in get_close_matches(last, [name.rpartition(".")[2]])
        ][:1]
    )
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"{key}: no such key or group{hint}"


def config_groups(config_dir: Path) -> Iterator[str]:
    """Names of all config groups, such as 'model' and 'model/attention'."""
    return (str(path.relative_to(config_dir)) for path in sorted(config_dir.rglob("*")) if path.is_dir())


def config_keys(config_dir: Path) -> Iterator[str]:
    """Dotted names of all keys of the default configuration."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config_dir), version_base="1.3"):
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


def first_line(error: BaseException) -> str:
    """The first line of a message, or the name of the error if it has none."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0].strip() if lines else type(error).__name__
