"""Stands for train.py where tests start many trainings: writes the record that a variant and a seed would have.

model=X_Y has a force MAE of X meV/Å and an FSD of Y 1/Å, which vary with the seed by a few percent. Every call is noted
in the file CALLS; the seed KILLED kills its process half-way.
"""

import json
import os
import signal
import sys
from pathlib import Path

from run_records import write_record


def main(arguments: list[str]) -> None:
    """Train, or continue."""
    with open(os.environ["CALLS"], "a") as file:
        file.write(" ".join(arguments) + "\n")
    given = dict(argument.partition("=")[::2] for argument in arguments)
    folder = Path(given.get("resume", given.get("hydra.run.dir")).strip("'"))
    config = folder / "config.yaml"
    if "resume" in given:
        given = json.loads(config.read_text())
    if given["model"] == "refused":
        sys.exit(print("error: model=refused: there is no 'refused'", file=sys.stderr) or 2)
    seed, overrides = int(given["seed"]), [f"model={given['model']}"]
    if "resume" not in arguments[0] and os.environ.get("KILLED") == given["seed"]:
        write_record(
            folder, overrides, seed=seed, status="stopped", reason="still running or killed: 1 of 2 epochs"
        )
        config.write_text(json.dumps(given))
        os.kill(os.getpid(), signal.SIGKILL)
    if given["model"].startswith("diverging"):
        write_record(folder, overrides, None, None, seed, status="diverged", reason="training loss became nan")
        sys.exit(1)
    x, y = map(float, given["model"].split("_"))
    wave = 0.02 * (-1) ** seed * (1 + seed / 10)
    write_record(folder, overrides, x / 1000 * (1 + wave), y * (1 - wave), seed)


if __name__ == "__main__":
    main(sys.argv[1:])
