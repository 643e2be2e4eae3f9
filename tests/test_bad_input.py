"""Bad input to `python train.py`: one clear line, exit status 2, nothing written; a bug keeps its traceback."""

import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import tiny_run
from hydra.core.global_hydra import GlobalHydra

import train
from mlip_design.data import bundled
from mlip_design.task import Task

REPOSITORY = Path(train.__file__).parent
HEADER = "Properties=species:S:1:pos:R:3:forces:R:3 energy=-1.5"
WATER = ["O 0.0 0.0 0.0 0.1 0.0 0.0", "H 0.96 0.0 0.0 -0.1 0.0 0.0", "H -0.2 0.9 0.0 0.0 0.0 0.0"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    """An empty working directory."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def refused(here, monkeypatch, capfd):
    """Call `main` with arguments that it must refuse; the line it prints."""

    def call(*arguments: str) -> str:
        before = files(here)
        monkeypatch.setattr(sys, "argv", ["train.py", *map(str, arguments)])
        GlobalHydra.instance().clear()
        with pytest.raises(SystemExit) as stop:
            train.main()
        printed = capfd.readouterr()
        assert (stop.value.code, printed.out) == (2, "")
        return checked(printed.err, before, here)

    return call


def files(folder: Path) -> dict[Path, bytes]:
    """Every file below a folder with its content, and every folder."""
    return {path: path.read_bytes() if path.is_file() else b"" for path in folder.rglob("*")}


def checked(stderr: str, before: dict[Path, bytes], folder: Path) -> str:
    """The only line of stderr, after checking that it is the only one and that no file has changed."""
    assert files(folder) == before
    assert stderr.startswith("error: ")
    assert stderr.count("\n") == 1
    return stderr.removeprefix("error: ").rstrip("\n")


def write_frames(name: str, count: int = 4, header: str = HEADER, rows: list[str] = WATER) -> str:
    """A file of equal frames; its name."""
    Path(name).write_text("\n".join([str(len(rows)), header, *rows, ""]) * count)
    return name


def changed(row: int, old: str, new: str) -> list[str]:
    """The water molecule with a part of one row replaced."""
    return [line.replace(old, new) if i == row else line for i, line in enumerate(WATER)]


COMMAND_LINE = {
    "group option": (
        ["model=smoth_attn"],
        "model=smoth_attn: there is no 'smoth_attn' (did you mean 'smooth_attn'?)",
    ),
    "nested option": (
        ["model/basis=gausian"],
        "model/basis=gausian: there is no 'gausian' (did you mean 'gaussian'?)",
    ),
    "experiment": (["experiment=lon"], "experiment=lon: there is no 'lon' (did you mean 'long'?)"),
    "group": (["modle=baseline"], "modle: no such key or group; did you mean 'model'?"),
    "nested group": (["model/bases=bessel"], "model/bases: no such key or group; did you mean 'model/basis'?"),
    "key": (
        ["trainer.max_epoch=3"],
        "trainer.max_epoch: no such key or group; did you mean 'trainer.max_epochs'?",
    ),
    "key of another group": (
        ["max_epochs=3"],
        "max_epochs: no such key or group; did you mean 'trainer.max_epochs'?",
    ),
    "removed key": (
        ["~model.basis.widht"],
        "model.basis.widht: no such key or group; did you mean 'model.basis.width'?",
    ),
    "file": (["my.yaml"], "argument 'my.yaml': a file is not given as it is; save it as conf/GROUP/NAME.yaml"),
    "file of a group": (["conf/model/baseline.yaml"], "conf/GROUP/NAME.yaml and say model=baseline"),
    "word": (
        ["baseline"],
        "argument 'baseline' is not of the form key=value (an architecture is chosen by model=NAME)",
    ),
    "flag": (["--epochs", "3"], "unrecognized arguments: --epochs; settings have the form key=value"),
    "whole number": (["trainer.max_epochs=abc"], "trainer.max_epochs: 'abc' is not a whole number or null"),
    "referred to": (["seed=abc"], "seed: 'abc' is not a whole number"),
    "fraction": (["seed=1.5"], "seed: 1.5 is not a whole number"),
    "negative": (["seed=-1"], "seed: -1 is not between 0 and 4294967295"),
    "none": (["trainer.max_epochs=0"], "trainer.max_epochs: 0 is not at least 1"),
    "no reach": (["model.neighbors.cutoff=0"], "model.neighbors.cutoff: 0 is not a number above 0"),
    "not a number": (["model.neighbors.cutoff=nan"], "model.neighbors.cutoff: nan is not a number above 0"),
    "infinite": (["optimizer.lr=inf"], "optimizer.lr: inf is not a number of at least 0"),
    "share": (["schedule.warmup=3"], "schedule.warmup: 3 is not between 0 and 1"),
    "number": (["optimizer.lr=fast"], "optimizer.lr: 'fast' is not a number"),
    "yes or no": (["trainer.deterministic=3"], "trainer.deterministic: 3 is not true or false"),
    "extra key of a block": (
        ["+model.basis.foo=1"],
        "Gaussian has no such argument; it takes cutoff, n_basis, width",
    ),
    "extra key, close": (["+trainer.max_epoch=1"], "Trainer has no such argument; did you mean 'max_epochs'?"),
    "extra key of a partial": (["+optimizer.foo=1"], "optimizer.foo: torch.optim.AdamW has no such argument"),
    "target": (["model.basis._target_=mlip_design.Foo"], "model.basis._target_: cannot find 'mlip_design.Foo'"),
    "missing value": (["data=extxyz"], "data.train must be given: add data.train=... to the command line"),
    "missing root": (["data=bsct"], "data.root must be given: add data.root=... to the command line"),
    "sweep": (["-m", "seed=1,2", "model=baselin"], "there is no 'baselin' (did you mean 'baseline'?)"),
    "resume nothing": (["resume=nowhere"], "no run to continue there (no config.yaml)"),
    "resume and change": (["resume=nowhere", "seed=2"], "continues a run as it was configured; leave out seed=2"),
}


@pytest.mark.parametrize("case", COMMAND_LINE)
def test_command_line(refused, case):
    arguments, message = COMMAND_LINE[case]
    assert message in refused(*arguments)


BUILT = {
    "type": (["dtype=float16"], "dtype: 'float16' is not one of float32, float64"),
    "too few": (["model.basis.n_basis=1"], "model.basis: basis gaussian: needs n_basis >= 2"),
    "no multiple": (
        ["model.backbone.n_features=50"],
        "model.backbone: attention: n_features = 50 must be a multiple of",
    ),
    "monitor": (
        ["callbacks.checkpoint.monitor=val/force_mae"],
        "callbacks.checkpoint.monitor: 'val/force_mae' is not measured; did you mean val/forces_mae?",
    ),
    "monitor of scans": (
        ["callbacks.checkpoint.monitor=val/bsct/ful_smoothness"],
        "is not measured; did you mean val/bsct/full_smoothness?",
    ),
    "objective": (
        ["callbacks=[default,pareto]", "callbacks.pareto.objectives=[val/forces_mae,test/forces_mae]"],
        "callbacks.pareto.objectives: 'test/forces_mae' is not measured; did you mean val/forces_mae?",
    ),
    "no device": (["trainer.accelerator=quantum"], "accelerator"),
}


@pytest.mark.parametrize("case", BUILT)
def test_values_that_nothing_can_be_built_from(refused, case):
    arguments, message = BUILT[case]
    assert message in refused(*tiny_run.inputs(), *arguments)


FRAMES = {
    "no energy": ({"header": HEADER.replace("energy", "E")}, "bad.xyz, frame 0: no 'energy'"),
    "no forces": ({"header": HEADER.replace("forces", "force")}, "no 'forces' (has: energy, force"),
    "NaN energy": ({"header": HEADER.replace("-1.5", "nan")}, "'energy' contains NaN or infinity"),
    "NaN force": ({"rows": changed(1, "-0.1", "nan")}, "'forces' contains NaN or infinity"),
    "NaN position": (
        {"rows": changed(1, "0.96", "nan")},
        "positions must be finite, but there is NaN or infinity",
    ),
    "missing cell": (
        {"header": HEADER + ' pbc="T T T"'},
        "periodic along a, b, c, but that cell vector is missing",
    ),
    "flat cell": (
        {"header": HEADER + ' Lattice="3 0 0 0 3 0 3 3 0" pbc="T T T"'},
        "frame 0: periodic, but its cell has no volume",
    ),
    "coincident atoms": ({"rows": changed(1, "0.96", "0.00")}, "atoms 0 and 1 coincide"),
    "coincident images": (
        {"header": HEADER + ' Lattice="0.96 0 0 0 9 0 0 0 9" pbc="T T T"'},
        "coincide",
    ),
    "text": ({"rows": ["O zero 0 0 0 0 0"]}, "bad.xyz, frame 0: cannot be read"),
    "no frame": ({"count": 0}, "bad.xyz"),
}


@pytest.mark.parametrize("case", FRAMES)
def test_frames(refused, case):
    changes, message = FRAMES[case]
    assert message in refused("data=extxyz", f"data.train={write_frames('bad.xyz', **changes)}")


def test_files(refused, here):
    good = write_frames("good.xyz")
    assert refused("data=extxyz", "data.train=god.xyz") == "god.xyz: no such file; did you mean good.xyz?"
    line = refused("data=extxyz", f"data.train={good}", "data.val=absent/val.xyz")
    assert line == "absent/val.xyz: no such file (its folder absent does not exist either)"
    line = refused("data=extxyz", f"data.train={good}", "data.forces_key=force")
    assert line.endswith("no 'force' (has: energy, forces); did you mean 'forces'?")


def test_splits(refused):
    good = write_frames("good.xyz")
    training = ["data=extxyz", f"data.train={good}"]
    assert "data.val: the split is empty" in refused(*training, "data.val=0.01")
    assert "data.val: 1.5 is neither a file nor a fraction between 0 and 1" in refused(*training, "data.val=1.5")
    assert "leave nothing to train on" in refused(*training, "data.val=0.5", "data.test=0.5")


def test_element_unknown_to_training(refused):
    good = write_frames("good.xyz")
    other = write_frames("other.xyz", rows=changed(0, "O", "S"))
    line = refused("data=extxyz", f"data.train={good}", f"data.val={good}", f"data.test={other}")
    assert line == "data.test: element S is unknown to this potential (it knows H, O)"


@pytest.mark.parametrize("stage", ["data", "callback"])
def test_corrupted_bundled_file(refused, here, monkeypatch, tmp_path, stage):
    root = Path(shutil.copytree(bundled.ROOT, tmp_path / "bundled"))
    name = "val_new.xyz.xz" if stage == "data" else "scans_test.tar.xz"
    (root / name).write_bytes((root / name).read_bytes()[:-1] + b"x")
    for module in ("mlip_design.data.sources", "mlip_design.config"):
        monkeypatch.setattr(f"{module}.bundled_path", partial(bundled.bundled_path, root=root))
    line = refused()
    assert line.startswith(f"bundled data file {root / name} is corrupted (sha256 differs from manifest.json)")


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda f: (f / "atoms_3.xyz").unlink(), "atoms_3.xyz is missing; perturb_range asks for 20 frames"),
        (lambda f: shutil.copy(f / "atoms_0.xyz", f / "atoms_20.xyz"), "atoms_20.xyz is unexpected"),
        (lambda f: (f / "partition.npz").unlink(), "partition.npz: missing"),
        (lambda f: shutil.rmtree(f.parent), "no system found"),
    ],
)
def test_scan_folder(refused, tmp_path, change, message):
    (scan,) = tiny_run.few_scans(count=1)
    root = tiny_run.write_scans([scan], tmp_path / "scans")
    change(root / scan.bond / scan.system_id)
    line = refused("data=bsct", f"data.root={root}")
    assert line.startswith(str(root))
    assert message in line


def test_too_few_scans_to_split(refused, tmp_path):
    root = tiny_run.write_scans(tiny_run.few_scans(count=1), tmp_path / "scans")
    assert "the split is empty" in refused("data=bsct", f"data.root={root}")


def test_a_run_is_never_written_over(refused, here):
    (here / "run").mkdir()
    (here / "run" / "config.yaml").write_text("seed: 7\n")
    line = refused("hydra.run.dir=run")
    folder = here / "run"
    assert line == f"{folder} already holds a run; continue it with resume={folder}, or choose another folder"


def test_output_folder_that_cannot_be_made(refused, here):
    (here / "file").touch()
    assert "file" in refused("hydra.run.dir=file/run")


def test_damaged_configuration_of_a_run(refused, here):
    (here / "run").mkdir()
    (here / "run" / "config.yaml").write_text("seed: [7\n")
    assert refused("resume=run")


@pytest.mark.parametrize("arguments", [["model=smoth_attn"], ["data=extxyz", "data.train=absent.xyz"]])
def test_as_a_command(here, arguments):
    command = [sys.executable, REPOSITORY / "train.py", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout) == (2, "")
    assert arguments[-1].partition("=")[2] in checked(done.stderr, {}, here)


@pytest.mark.parametrize("error", [ValueError, OSError, RuntimeError])
def test_a_bug_in_training_keeps_its_traceback(here, monkeypatch, error):
    """The same kinds of exception as for bad input: they come out of `main`, and Python exits with status 1."""

    def broken(*_):
        raise error("planted")

    monkeypatch.setattr(Task, "training_step", broken)
    monkeypatch.setattr(sys, "argv", ["train.py", *tiny_run.inputs(), "hydra.run.dir=run"])
    GlobalHydra.instance().clear()
    with pytest.raises(error, match="planted"):
        train.main()
    assert '"failed"' in (here / "run" / "results.json").read_text()


def test_a_bug_in_building_a_block_keeps_its_traceback(monkeypatch):
    def broken(*_, **__):
        raise NameError("planted")

    monkeypatch.setattr("mlip_design.blocks.basis.gaussian.Gaussian.__init__", broken)
    monkeypatch.setattr(sys, "argv", ["train.py", *tiny_run.inputs()])
    GlobalHydra.instance().clear()
    with pytest.raises(Exception, match="planted"):
        train.main()
