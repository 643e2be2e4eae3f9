"""What an offline run of Weights & Biases wrote, for the tests.

The run file is LevelDB's log format after a 7-byte header: blocks of 32 KiB with records of
(checksum 4 bytes, length 2, type 1: whole, first, middle, last); their contents are `wandb_internal_pb2.Record`s.
"""

import json
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

internal = pytest.importorskip("wandb.proto.wandb_internal_pb2")

BLOCK, HEADER = 32768, struct.Struct("<IHB")
WHOLE, LAST = 1, 4


def read_records(path: Path) -> Iterator[internal.Record]:
    """The records of a run file, in order, but for one that is not written to its end."""
    data = path.read_bytes()
    assert data[:4] == b":W&B"
    position, content = 7, b""
    while position + HEADER.size <= len(data):
        left = BLOCK - position % BLOCK
        if left < HEADER.size:
            position += left
            continue
        _, length, kind = HEADER.unpack_from(data, position)
        position += HEADER.size + length
        if position > len(data):
            return
        content += data[position - length : position]
        if kind in (WHOLE, LAST):
            yield internal.Record.FromString(content)
            content = b""


def finished_records(path: Path) -> list[internal.Record]:
    """All records of a run that has ended: what writes them may outlive the process that trained."""
    records, deadline = list(read_records(path)), time.monotonic() + 60
    while not any(record.HasField("exit") for record in records):
        assert time.monotonic() < deadline, f"{path} has no exit record"
        time.sleep(0.1)
        records = list(read_records(path))
    return records


def apart(folder: Path) -> dict[str, str]:
    """The environment of a process that leaves nothing outside a folder."""
    return {f"WANDB_{name}_DIR": str(folder / name) for name in ("CACHE", "CONFIG", "DATA")} | {
        "WANDB_SILENT": "true"
    }


def history(records: list[internal.Record]) -> list[dict]:
    """What was logged: one mapping of names to values a record."""
    return [
        {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
        for record in records
        if record.WhichOneof("record_type") == "history"
    ]


def summary(records: list[internal.Record]) -> dict:
    """The values that stand beside a run in a list of runs, by name."""
    updates = [update for record in records if record.HasField("summary") for update in record.summary.update]
    return {update.key or "/".join(update.nested_key): json.loads(update.value_json) for update in updates}
