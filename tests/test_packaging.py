"""A wheel, installed elsewhere, holds everything and works from any folder."""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import tiny_run

ROOT = Path(__file__).resolve().parents[1]
COMMON = ["trainer.max_epochs=1", "+trainer.limit_train_batches=2", "+trainer.limit_val_batches=1"]


def shell(*words: str | Path, cwd: Path, site: Path | None = None) -> subprocess.CompletedProcess:
    """Run a command in a folder; with `site`, what is installed there comes before the repository."""
    variables = {**os.environ, "OMP_NUM_THREADS": "1"} | ({"PYTHONPATH": str(site)} if site else {})
    command = [str(word) for word in words]
    return subprocess.run(
        command, cwd=cwd, env=variables, capture_output=True, text=True, check=False, timeout=200
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT]
    done = shell(*build, cwd=folder)
    assert done.returncode == 0, done.stderr
    (path,) = folder.iterdir()
    return path


@pytest.fixture(scope="module")
def site(wheel, tmp_path_factory) -> Path:
    """The wheel, installed beside the packages that it depends on."""
    folder = tmp_path_factory.mktemp("site")
    install = [sys.executable, "-m", "pip", "install", "-qq", "--no-deps", "--no-index", "--target", folder, wheel]
    done = shell(*install, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_wheel_holds_everything(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder, pattern in (
        ("mlip_design", "*.py"),
        ("mlip_design/report/templates", "*.*"),
        ("callbacks", "*.py"),
        ("hydra_plugins", "*.py"),
        ("conf", "*.yaml"),
        ("mlip_design/models", "*.*"),
    ):
        files = {path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob(pattern)}
        assert files
        assert files <= names
    assert {path.relative_to(ROOT).as_posix() for path in (ROOT / "mlip_design/data/bundled").iterdir()} <= names
    assert "train.py" in names
    tops = {name.split("/")[0] for name in names}
    assert {re.sub("-.*", "", top) for top in tops} == {
        "mlip_design",
        "callbacks",
        "conf",
        "hydra_plugins",
        "train.py",
    }
    assert not [name for name in names if name.endswith(".pyc")]
    assert wheel.stat().st_size < 3.5e6


def test_it_is_found_before_the_repository(site, tmp_path):
    code = "from importlib.util import find_spec\n"
    code += "print(*(find_spec(name).origin for name in ('callbacks', 'mlip_design', 'train')))"
    done = shell(sys.executable, "-c", code, cwd=tmp_path, site=site)
    assert [Path(word).is_relative_to(site) for word in done.stdout.split()] == [True] * 3


@pytest.mark.parametrize(
    "words, expected",
    [
        (["-m", "train", "--help"], "smooth_attn"),
        (["-m", "mlip_design", "--help"], "usage: mlip-design"),
        (["bin/mlip-design", "--help"], "usage: mlip-design"),
        (["bin/mlip-design", "data", "--help"], "make-bundled"),
    ],
)
def test_help(site, tmp_path, words, expected):
    words = [site / word if word.startswith("bin/") else word for word in words]
    done = shell(sys.executable, *words, cwd=tmp_path, site=site)
    assert (done.returncode, done.stderr) == (0, "")
    assert expected in done.stdout


def test_it_trains_on_the_bundled_set(site, tmp_path):
    small = [override for override in tiny_run.TINY if override.startswith("model.")]
    done = shell(sys.executable, "-m", "train", *COMMON, *small, "hydra.run.dir=run", cwd=tmp_path, site=site)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "results.json").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_corrupted_file_of_it_is_named(site, tmp_path):
    path = site / "mlip_design/data/bundled/train.xyz.xz"
    content = path.read_bytes()
    try:
        path.write_bytes(content[:-1] + b"x")
        done = shell(sys.executable, "-m", "train", cwd=tmp_path, site=site)
    finally:
        path.write_bytes(content)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: bundled data file {path} is corrupted")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_compromised_releases_of_lightning_are_excluded():
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    (lightning,) = [line for line in dependencies if line.startswith("pytorch-lightning")]
    assert {"!=2.6.2", "!=2.6.3"} <= set(lightning.removeprefix("pytorch-lightning").split(","))
