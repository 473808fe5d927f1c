"""`picturematch events` and `record` as a user runs them, beside a running owner of the log."""

import asyncio
import json
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest
from click.testing import CliRunner

from broker.embedded import EmbeddedBroker, open_embedded
from broker.port import NewRecord
from capture.reader import CaptureReader
from contract.topics import Topics
from picturematch.__main__ import cli
from tests.support.commands import ROOT, environment, finish, run, start
from tests.support.records import append_decided, enrol_request, make_topics, match_request
from tests.support.waiting import until


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
async def log(data: Path) -> AsyncIterator[EmbeddedBroker]:
    async with open_embedded(data, role="owner", clock_ms=lambda: int(time.time() * 1000)) as broker:
        await make_topics(broker)
        for number in range(4):
            await append_decided(broker, match_request(number, f"10.0.0.{number % 2}"))
        await append_decided(broker, enrol_request(1))
        yield broker


async def test_events_are_json_lines(log: EmbeddedBroker, data: Path) -> None:
    everything = await run("events", "--data-folder", data)
    assert (everything.status, everything.err) == (0, "")
    assert sorted(json.loads(line)["id"] for line in everything.out.splitlines()) == ["e1", "r0", "r1", "r2", "r3"]

    some = await run(
        "events", "--data-folder", data, "--device", "::ffff:10.0.0.1", "--kind", "match", "--since", "10m"
    )
    assert [json.loads(line)["id"] for line in some.out.splitlines()] == ["r1", "r3"]
    assert len((await run("events", "--data-folder", data, "--limit", 2)).out.splitlines()) == 2


async def test_following_prints_at_once_and_ends_quietly_at_control_c(log: EmbeddedBroker, data: Path) -> None:
    process = await start("events", "--data-folder", data, "--follow", "--kind", "match", "--device", "10.0.0.9")
    assert process.stdout is not None
    for number in range(10, 13):
        await append_decided(log, match_request(number, "10.0.0.9"))
        assert json.loads(await process.stdout.readline())["id"] == f"r{number}"
    process.send_signal(signal.SIGINT)
    ended = await finish(process)
    assert (ended.status, ended.out, ended.err) == (0, "", "")


async def test_following_tells_at_control_c_that_records_were_passed_over(log: EmbeddedBroker, data: Path) -> None:
    await log.append([NewRecord(Topics().events, b"10.0.0.1", b"no event")])
    process = await start("events", "--data-folder", data, "--follow")
    assert process.stdout is not None
    for _ in range(5):
        await process.stdout.readline()
    await append_decided(log, match_request(10))
    assert json.loads(await process.stdout.readline())["id"] == "r10"
    process.send_signal(signal.SIGINT)
    ended = await finish(process)
    assert (ended.status, ended.out) == (1, "")
    assert "is not a readable event" in ended.err
    assert "1 record skipped" in ended.err


async def test_a_reader_that_goes_away_ends_it_quietly(log: EmbeddedBroker, data: Path) -> None:
    process = await start("events", "--data-folder", data, "--follow")
    assert process.stdout is not None
    assert await process.stdout.readline()
    process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]
    await append_decided(log, match_request(20))
    assert await process.wait() == 0
    assert process.stderr is not None
    assert await process.stderr.read() == b""


async def test_requests_are_recorded_and_continued(log: EmbeddedBroker, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = await run("record", "--data-folder", data, "--out", out)
    assert (first.status, first.out, first.err) == (0, f"4 requests recorded in {out}\n", "")
    await append_decided(log, match_request(4))
    second = await run("record", "--data-folder", data, "--out", out)
    assert second.out.startswith("1 request recorded")
    lines = [line for _, line in CaptureReader(out).lines()]
    assert sorted(line.request_id for line in lines) == ["r0", "r1", "r2", "r3", "r4"]
    assert all(line.decision for line in lines)


async def test_a_following_record_ends_at_a_signal(log: EmbeddedBroker, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = await start("record", "--data-folder", data, "--out", out, "--follow")
    requests = out / "requests.jsonl"
    await until(lambda: requests.exists() and requests.read_bytes().count(b"\n") == 4, 20)
    process.terminate()
    ended = await finish(process)
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.startswith("4 requests recorded")


async def test_a_second_folder_of_the_same_group_is_told_that_it_gets_only_what_follows(
    log: EmbeddedBroker, data: Path, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    carry = ("sink", "jsonl", "--data-folder", data, "--idle-exit", "0.2s", "--out")
    whole = await run(*carry, first)
    assert (whole.out, whole.err) == (f"5 events carried to {first}\n", "")
    nothing = await run(*carry, second)
    assert (nothing.status, nothing.out) == (0, f"0 events carried to {second}\n")
    assert nothing.err.startswith("group sink-jsonl has written events to another folder before: ")
    assert "--group NAME" in nothing.err
    assert len(nothing.err.splitlines()) == 1
    again = await run(*carry, second)
    assert again.err == "", "it is known by then"
    own = await run(*carry, tmp_path / "third", "--group", "third")
    assert (own.out, own.err) == (f"5 events carried to {tmp_path / 'third'}\n", "")


@pytest.fixture
def full_device() -> Iterator[BinaryIO]:
    """A file that takes nothing: there is no space left."""
    with Path("/dev/full").open("wb") as device:
        yield device


async def test_events_to_a_full_disk_say_what_is_full(log: EmbeddedBroker, data: Path, full_device: BinaryIO) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "picturematch", "events", "--data-folder", str(data)),
        stdout=full_device,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env=environment(),
    )
    _, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 2
    (sentence,) = err.decode().splitlines()
    assert "the events cannot be written to standard output (No space left on device)" in sentence


@pytest.mark.parametrize("command", [("events",), ("record", "--out", "x"), ("sink", "jsonl", "--out", "x")])
async def test_without_a_log_the_sentence_says_what_to_do(tmp_path: Path, command: tuple[str, ...]) -> None:
    where = [str(tmp_path / "x") if part == "x" else part for part in command]
    ended = await run(*where, "--data-folder", tmp_path / "none")
    assert ended.status == 2
    assert "start the server" in ended.err
    assert len(ended.err.splitlines()) == 1
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    "command", [["events"], ["record"], ["sink"], ["sink", "jsonl"], ["capture"], ["replay"], ["enrol"]]
)
def test_every_help_text_has_an_example(command: list[str]) -> None:
    shown = CliRunner().invoke(cli, [*command, "--help"])
    assert shown.exit_code == 0
    assert "Example" in shown.output
    assert shown.output.count(f"picturematch {command[0]}") >= 1


@pytest.mark.parametrize("since", ["soon", "-1", "10y"])
def test_a_time_that_is_none_is_told_with_what_is_understood(since: str) -> None:
    shown = CliRunner().invoke(cli, ["events", "--since", since])
    assert shown.exit_code == 2
    assert "ISO 8601" in shown.output
