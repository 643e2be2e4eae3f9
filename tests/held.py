"""Where a calculator of a test stops, so that a kill finds its process at work however busy the machine is."""

import time
from pathlib import Path


def note(log: Path, line: str) -> None:
    """Add a line to a log, then wait as long as the file `hold` beside it says so.

    It holds a number, the last line after which work goes on, or a word that held lines contain.
    """
    with open(log, "a") as file:
        file.write(line + "\n")
    hold = log.with_name("hold")
    while hold.exists():
        limit = hold.read_text()
        if not (len(log.read_text().splitlines()) > int(limit) if limit.isdigit() else limit in line):
            return
        time.sleep(0.02)
