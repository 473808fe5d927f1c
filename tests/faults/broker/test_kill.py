"""kill -9 at any moment: no acknowledged write is lost, no transaction is half there, no offset is used again."""

import random
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from broker.embedded import EmbeddedBroker, open_embedded
from broker.port import Position
from tests.contract.suites import read_all
from tests.faults.broker.child import TOPICS, clock_ms

ROOT = Path(__file__).parents[3]
ROUNDS = 8


def writing_child(folder: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.faults.broker.child", "write", str(folder)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def write_until_killed(folder: Path, after_lines: int) -> list[str]:
    """What a child said before it was killed; every whole line of it was acknowledged."""
    with writing_child(folder) as child:
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(after_lines)]
        child.send_signal(signal.SIGKILL)
        lines += child.stdout.readlines()
    assert child.returncode == -signal.SIGKILL, "the child ended by itself"
    return [line.strip() for line in lines if line.endswith("\n")]


async def check_transactions(broker: EmbeddedBroker) -> int:
    """All four records of every transaction below the group's offset, none above; returns that offset."""
    async with broker.member("work", "group") as member:
        committed = await member.committed(0) or 0
    once = Counter(b"%d" % number for number in range(committed))
    assert Counter(each.value for each in await read_all(broker, "replies")) == once
    events = Counter(each.value for each in await read_all(broker, "events"))
    assert events == Counter(dict.fromkeys(once, 2))
    people = {each.key: each.value for each in await read_all(broker, "people")}
    assert people == {b"person %d" % (number % 7): b"%d" % number for number in range(committed)}
    assert (await broker.end_offsets("people"))[0] == committed
    return committed


async def test_a_killed_writer_leaves_all_it_acknowledged_and_nothing_half(tmp_path: Path) -> None:
    chance = random.Random(20)
    folder = tmp_path / "data"
    ends: dict[tuple[str, int], int] = {}
    loose: dict[Position, str] = {}
    committed = 0
    for _ in range(ROUNDS):
        said = write_until_killed(folder, chance.randrange(20, 700))
        async with open_embedded(folder, role="owner", clock_ms=clock_ms) as broker:
            await broker.ensure_topics(TOPICS)
            acknowledged = [int(line.split()[1]) for line in said if line.startswith("committed")]
            assert acknowledged == list(range(committed, committed + len(acknowledged)))
            now_committed = await check_transactions(broker)
            assert now_committed >= committed + len(acknowledged)
            committed = now_committed

            for line in said:
                if appended := re.fullmatch(r"appended (\w+) (\d+) (\d+) (\d+)", line):
                    topic, partition, offset, mark = appended.groups()
                    place = Position(topic, int(partition), int(offset))
                    assert place.offset >= ends.get((topic, place.partition), 0), "an offset was used again"
                    if topic == "loose":
                        loose[place] = mark
            found = await read_all(broker, "loose")
            kept = {each.position: (each.value or b"").split(b" ")[0].decode() for each in found}
            assert loose.items() <= kept.items()
            batches = Counter(kept.values())
            assert all(count % 3 == 0 for count in batches.values())
            for topic in ("loose", "brief"):
                for partition, end in (await broker.end_offsets(topic)).items():
                    ends[topic, partition] = end
            await broker.housekeep()
            stored = sum(len(each.value or b"") for each in await read_all(broker, "brief"))
            assert stored <= 200_000
    assert committed > ROUNDS
    assert len(loose) > ROUNDS
    assert ends["brief", 0] > 40, "retention never had anything to remove"


@pytest.mark.parametrize("sweeps", [2, 9])
async def test_a_writer_killed_while_it_cleans_up_leaves_a_whole_log(tmp_path: Path, sweeps: int) -> None:
    folder = tmp_path / "data"
    for _ in range(3):
        with writing_child(folder) as child:
            assert child.stdout is not None
            left = sweeps
            while left:
                line = child.stdout.readline()
                assert line, "the child ended by itself"
                left -= line == "tidying\n"
            child.kill()
        async with open_embedded(folder, role="owner", clock_ms=clock_ms) as broker:
            assert await check_transactions(broker) > 0
            checked = await broker._log.read(lambda connection: connection.execute("PRAGMA integrity_check").fetchone())
            assert checked == ("ok",)
