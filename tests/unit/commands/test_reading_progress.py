"""What a process shows while it reads 100,000 records of the people topic at its start."""

import asyncio
import re
from pathlib import Path

import pytest
import rich.console
from rich.console import Console

import picturematch.reading_progress
import picturematch.shell
from broker.embedded import open_embedded
from broker.port import NewRecord, Record, TopicSpec
from broker.table import TableFollower
from picturematch.reading_progress import reading_progress
from picturematch.shell import Steps

TOPIC = "people"
COUNT = 100_000


async def fill(folder: Path, count: int) -> None:
    async with open_embedded(folder, role="owner", clock_ms=lambda: 1_700_000_000_000) as log:
        await log.ensure_topics([TopicSpec(TOPIC, 1, compacted=True)])
        for first in range(0, count, 10_000):
            await log.append([NewRecord(TOPIC, b"%d" % number, b"x") for number in range(first, first + 10_000)])


async def test_a_hundred_thousand_records_are_read_with_plain_lines_that_end_with_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picturematch.reading_progress, "_AFTER_S", 0.0)
    monkeypatch.setattr(picturematch.shell, "_PLAIN_PROGRESS_EVERY_S", 0.0)
    await fill(tmp_path, COUNT)
    applied: list[Record] = []
    async with open_embedded(tmp_path, role="owner", clock_ms=lambda: 1_700_000_000_000) as log:
        with reading_progress("reading the people, offsets") as show:
            async with TableFollower(log, TOPIC, applied.extend, show) as table, asyncio.timeout(60):
                await table.caught_up()
                await log.append([NewRecord(TOPIC, b"later", b"x")])
                assert await table.reached(COUNT + 1, 20)
    assert len(applied) == COUNT + 1
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert all(re.fullmatch(r"reading the people, offsets: \d+ of 100000", line) for line in lines)
    shown = [int(line.split()[-3]) for line in lines]
    assert shown == sorted(shown)
    assert len(set(shown)) > 100
    assert shown[-1] == COUNT, "what came after the start is not counted"


def test_a_short_reading_shows_nothing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [0.0]
    monkeypatch.setattr(picturematch.shell, "_PLAIN_PROGRESS_EVERY_S", 0.0)
    with reading_progress("reading", lambda: now_s[0]) as show:
        now_s[0] = 0.9
        show(500, 1000)
        assert capsys.readouterr().err == ""
        now_s[0] = 1.1
        show(900, 1000)
        assert capsys.readouterr().err == "reading: 900 of 1000\n"


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(picturematch.reading_progress, "_AFTER_S", 0.0)
    monkeypatch.setattr(rich.console, "Console", lambda stderr: Console(stderr=stderr, force_terminal=True, width=120))
    with reading_progress("reading the people, offsets") as show:
        show(500, 1000)
        show(1000, 1000)
    assert "1000/1000" in capsys.readouterr().err


def test_a_closed_standard_error_does_not_end_the_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = list[str]()

    def broken(*_: object) -> None:
        tried.append("writing")
        raise BrokenPipeError

    monkeypatch.setattr(picturematch.reading_progress, "_AFTER_S", 0.0)
    monkeypatch.setattr(Steps, "step", broken)
    monkeypatch.setattr(Steps, "finish", broken)
    with reading_progress("reading") as show:
        show(1, 2)
        show(2, 2)
    assert len(tried) >= 2, "each number was to be shown"


def test_an_error_of_the_process_passes_through() -> None:
    with pytest.raises(OSError, match="the address is in use"), reading_progress("reading"):
        raise OSError("the address is in use")
