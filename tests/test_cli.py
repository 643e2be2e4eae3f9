"""The command line: exit status 0, 1 or 2, help everywhere, one line for bad input."""

import argparse
import json
import subprocess
import sys

import pytest

from mlip_design import cli


def commands(parser: argparse.ArgumentParser) -> list[list[str]]:
    """Every command and group of commands below a parser, as words."""
    found = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, child in action.choices.items():
                found += [[name], *([name, *words] for words in commands(child))]
    return found


@pytest.mark.parametrize("words", [[], *commands(cli.build_parser())], ids=" ".join)
def test_everything_has_help(words, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([*words, "--help"])
    printed = capsys.readouterr()
    assert (stop.value.code, printed.err) == (0, "")
    assert printed.out.startswith("usage: mlip-design")


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "the following arguments are required: GROUP (see mlip-design --help)"),
        (["dta"], "'dta'"),
        (["data"], "the following arguments are required: COMMAND (see mlip-design data --help)"),
        (["data", "make-bundled", "--jobs", "0"], "must be at least 1, not 0"),
        (["data", "make-bundled", "--seed", "one"], "'one'"),
        (["data", "make-bundled", "--ot", "x", "y"], "unrecognized arguments: --ot x y"),
    ],
)
def test_wrong_arguments(capsys, arguments, message):
    assert cli.main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert printed.err.startswith("error: ")
    assert message in printed.err


class Planted(Exception):
    """A bug."""


@pytest.mark.parametrize("error", [ValueError, FileNotFoundError, PermissionError])
def test_bad_input_of_a_command_is_one_line(monkeypatch, capsys, error):
    def command(_):
        raise error("first\n  second")

    monkeypatch.setattr(cli.data, "make_bundled", command)
    assert cli.main(["data", "make-bundled"]) == 2
    assert capsys.readouterr().err == "error: first second\n"


def test_a_bug_keeps_its_traceback(monkeypatch):
    def command(_):
        raise Planted

    monkeypatch.setattr(cli.data, "make_bundled", command)
    with pytest.raises(Planted):
        cli.main(["data", "make-bundled"])


@pytest.mark.parametrize("status", [0, 1])
def test_the_status_of_a_command_is_passed_on(monkeypatch, status):
    monkeypatch.setattr(cli.data, "make_bundled", lambda _: status)
    assert cli.main(["data", "make-bundled"]) == status


def test_json(tmp_path):
    cli.arguments.write_json(None, {})
    cli.arguments.write_json(tmp_path / "result.json", {"unit": "Å", "values": [1.5]})
    text = (tmp_path / "result.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"unit": "Å", "values": [1.5]}
    assert "Å" in text


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tblite", None)
    with pytest.raises(ValueError, match=r"tblite is not installed: pip install 'mlip-design\[xtb\]'"):
        cli.arguments.need("tblite")


def test_as_a_module():
    command = [sys.executable, "-m", "mlip_design", "dta"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
