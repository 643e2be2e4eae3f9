"""The examples of docs/using_models.md, run as they stand there."""

import re
import shlex
from pathlib import Path

import ase.io
import pytest
from checkpoints import methanol, saved
from conftest import ROOT
from run_records import write_record

from mlip_design.cli import main

TEXT = (ROOT / "docs" / "using_models.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
COMMANDS = re.findall(r"```\n(mlip-design .*?)```", TEXT, flags=re.DOTALL)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Where a reader is: with a run folder and a file of structures."""
    write_record(tmp_path / "runs" / "first", ["model=smooth_attn"])
    saved(tmp_path / "runs" / "first" / "checkpoints" / "best.ckpt")
    other = methanol()
    other.rattle(0.02, seed=5)
    ase.io.write(tmp_path / "molecules.xyz", [methanol(), other], format="extxyz")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_example_runs(folder, capsys):
    assert len(COMMANDS) == 3 and len(EXAMPLES) == 4
    for command in COMMANDS:
        assert main(shlex.split(command)[1:]) == 0
    for example in EXAMPLES:
        if "torch_sim" in example:
            pytest.importorskip("torch_sim", reason="torch-sim is not installed")
        exec(compile(example, "using_models.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "searches for neighbours" in printed and "torch.Size([12, 3])" in printed


def test_every_file_that_is_named_is_written(folder):
    for command in COMMANDS:
        assert main(shlex.split(command)[1:]) == 0
    for name in re.findall(r"^((?:errors|exported)/\S+) ", TEXT, flags=re.MULTILINE):
        assert (folder / name).exists(), name


def test_the_refusal_reads_as_it_says_there(folder, capsys):
    assert main(["export", "runs/first", "exported/theirs"]) == 0
    description = folder / "exported" / "theirs" / "model.yaml"
    block = "mlip_design.blocks.envelope.bump.Bump"
    description.write_text(description.read_text().replace(block, "theirpackage.blocks.Mine"))
    capsys.readouterr()
    assert main(["eval", "exported/theirs", "molecules.xyz", "--out", "new"]) == 2
    assert capsys.readouterr().err.strip() in " ".join(TEXT.split())
