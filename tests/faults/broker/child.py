"""What the fault tests run in processes of their own, to be killed or stopped: `child.py MODE FOLDER ...`."""

import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from broker.embedded import EmbeddedBroker, open_embedded
from broker.port import NewRecord, Position, TopicSpec

TOPICS = [
    TopicSpec("work", 1),
    TopicSpec("events", 2),
    TopicSpec("replies", 1),
    TopicSpec("people", 1, compacted=True),
    TopicSpec("loose", 3),
    TopicSpec("brief", 1, retention_bytes=200_000),
]


def clock_ms() -> int:
    return time.time_ns() // 1_000_000


def say(*words: object) -> None:
    sys.stdout.write(" ".join(str(word) for word in words) + "\n")
    sys.stdout.flush()


async def write(folder: Path) -> None:
    """Append, commit and clean up without end; say what was acknowledged, after it was."""
    async with open_embedded(folder, role="owner", clock_ms=clock_ms, housekeeping_s=3600) as broker:
        await broker.ensure_topics(TOPICS)
        await asyncio.gather(commit(broker), append(broker, "loose"), append(broker, "brief"), tidy(broker))


async def commit(broker: EmbeddedBroker) -> None:
    """Transaction number n: three outputs and one that follows them, and the group's offset becomes n + 1."""
    async with broker.member("work", "group") as member:
        number = await member.committed(0) or 0
        while True:
            if (await broker.end_offsets("work"))[0] <= number:
                await broker.append([NewRecord("work", None, b"w")])
            mark = b"%d" % number

            def follow(_: Sequence[Position], mark: bytes = mark) -> Sequence[NewRecord]:
                return [NewRecord("people", b"person %d" % (int(mark) % 7), mark)]

            outputs = [
                NewRecord("events", mark, mark),
                NewRecord("events", b"x" + mark, mark),
                NewRecord("replies", None, mark),
            ]
            await member.commit(0, number + 1, outputs, follow)
            say("committed", number)
            number += 1


async def append(broker: EmbeddedBroker, topic: str) -> None:
    """Append to a topic, several records at a time."""
    number = 0
    while True:
        mark = b"%d " % number
        places = await broker.append([NewRecord(topic, mark, mark + bytes(5000)) for _ in range(3)])
        for place in places:
            say("appended", topic, place.partition, place.offset, number)
        number += 1


async def tidy(broker: EmbeddedBroker) -> None:
    """Housekeeping most of the time, so that the end comes in the middle of it, too."""
    while True:
        say("tidying")
        await broker.housekeep()
        await asyncio.sleep(0.005)


async def follow(folder: Path) -> None:
    """A guest that says every record's offset and commits it."""
    async with (
        open_embedded(folder, role="guest", clock_ms=clock_ms) as broker,
        broker.member("loose", "sink") as member,
    ):
        say("following")
        while True:
            for found in await member.fetch():
                await member.commit(found.partition, found.offset + 1)
                say("read", found.partition, found.offset)


async def look(folder: Path) -> None:
    """Open as a guest and say what came of it."""
    try:
        async with open_embedded(folder, role="guest", clock_ms=clock_ms):
            say("opened")
    except Exception as error:  # noqa: BLE001 - the test judges it
        say(type(error).__name__, error)


MODES = {"write": write, "follow": follow, "look": look}

if __name__ == "__main__":
    asyncio.run(MODES[sys.argv[1]](Path(sys.argv[2])))
