"""Writes the golden events: `python -m tests.golden.make_events`.

Each file of `events/` is one record of the events topic, as JSON: its key, its headers and its value. The files are
also examples for whoever writes a consumer. A test makes the records again and compares. Where a field is added, all
files stay as they are; a new kind or outcome needs a scene and a file of its own, so the command writes the files that
are missing. `--again NAME` replaces a file, after a change that is meant to alter it and that docs/events.md allows.
"""

import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from broker.port import Record
from tests.golden.event_scenes import make_events

EVENTS = Path(__file__).parent / "events"


def document(record: Record) -> dict[str, Any]:
    """A record of the events topic as a golden file has it: the times of the stages, which differ every time, are 0."""
    value: dict[str, Any] = orjson.loads(record.value or b"")
    value["timings_ms"] = dict.fromkeys(sorted(value["timings_ms"]), 0.0)
    headers = {name: text.decode() for name, text in record.headers}
    return {"key": (record.key or b"").decode(), "headers": headers, "value": value}


def write(made: Mapping[str, Record], again: frozenset[str]) -> None:
    """Write the files that are missing, and those to be written again."""
    EVENTS.mkdir(exist_ok=True)
    for name, record in made.items():
        path = EVENTS / f"{name}.json"
        if not path.exists() or name in again:
            path.write_text(json.dumps(document(record), indent=1, ensure_ascii=False) + "\n")


def main() -> None:
    """Make the events; the names after `--again` are replaced."""
    words = sys.argv[1:]
    if words[:1] not in ([], ["--again"]):
        sys.exit("usage: python -m tests.golden.make_events [--again NAME ...]")
    write(asyncio.run(make_events()), frozenset(words[1:]))


if __name__ == "__main__":
    main()
