"""Judges an embedded log by what SQLite reads in its file: nothing of the project's reads here.

`FileView` collects, `differences` compares it with what clients were told; a sentence for each promise that was broken.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import orjson

_OFFSET_BITS = 40  # of a row id; the partition's shard stands above them


@dataclass(frozen=True, slots=True)
class Told:
    """One call as its client saw it. `kind`: match, enrol, delete, compare, compare unsaved or fiqa; `status` 0: no
    answer came. `identity_id` is that of enrolments and deletions."""

    kind: str
    status: int
    request_id: str = ""
    answer: Mapping[str, Any] = field(default_factory=dict)
    identity_id: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """One record of the requests topic."""

    request_id: str
    makes_event: bool


class FileView:
    """What the file holds; `look` adds what came since the last look."""

    def __init__(self, path: Path, prefix: str = "picturematch") -> None:
        self._path, self._prefix = path, prefix
        self._seen: dict[int, int] = {}
        self.requests: list[Asked] = []
        self.events: list[Mapping[str, Any]] = []
        self.places: dict[tuple[int, int], Mapping[str, Any]] = {}
        self.people: set[str] = set()
        self.letters = 0
        self.behind = 0

    def look(self) -> None:
        """Read what is new, and how many requests the processors' group has not committed."""
        connection = sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, timeout=30)
        try:
            for name, shard, partition in connection.execute(
                "SELECT name, shard.id, partition FROM shard JOIN topic ON topic.id = topic_id"
            ).fetchall():
                self._read(connection, name.removeprefix(self._prefix + "."), shard, partition)
            committed = dict(
                connection.execute(
                    "SELECT shard_id, next_offset FROM group_offset WHERE group_name IN (?, ?)",
                    (f"{self._prefix}-processor", f"{self._prefix}-admin"),
                ).fetchall()
            )
            shards = connection.execute(
                "SELECT shard.id FROM shard JOIN topic ON topic.id = topic_id WHERE name IN (?, ?)",
                (f"{self._prefix}.requests", f"{self._prefix}.admin"),
            ).fetchall()
            ends = {shard: self._seen.get(shard, -1) + 1 for (shard,) in shards}
            self.behind = sum(end - committed.get(shard, 0) for shard, end in ends.items())
        finally:
            connection.close()

    def fault_of_file(self) -> str | None:
        """What SQLite's own check finds wrong with the file."""
        connection = sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, timeout=30)
        try:
            (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
        except sqlite3.DatabaseError as error:
            return str(error)
        finally:
            connection.close()
        return None if found == "ok" else str(found)

    def _read(self, connection: sqlite3.Connection, topic: str, shard: int, partition: int) -> None:
        base = shard << _OFFSET_BITS
        rows = connection.execute(
            "SELECT id - ?, key, value FROM record WHERE id > ? AND id < ? ORDER BY id",
            (base, base + self._seen.get(shard, -1), (shard + 1) << _OFFSET_BITS),
        )
        for offset, key, value in rows:
            self._seen[shard] = offset
            match topic:
                case "requests" | "admin":
                    self.requests.append(_asked(value))
                case "events":
                    event = orjson.loads(value)
                    self.events.append(event)
                    self.places[partition, offset] = event
                case "people" if key.startswith(b"person/"):
                    (self.people.discard if value is None else self.people.add)(key.removeprefix(b"person/").decode())
                case "dead-letters":
                    self.letters += 1


def _asked(value: bytes) -> Asked:
    request = msgspec.msgpack.decode(value)
    unsaved = request["kind"] == "compare" and not request.get("need_save")
    return Asked(request["request_id"], request["kind"] != "fiqa" and not unsaved)


def differences(view: FileView, told: Iterable[Told], *, at_rest: bool) -> Iterator[str]:
    """Where file and answers do not belong together. `at_rest`: all that was accepted has been processed."""
    asked = Counter(request.request_id for request in view.requests)
    counted = Counter(str(event["id"]) for event in view.events)
    wants = {request.request_id for request in view.requests if request.makes_event}
    yield from _each("requests stand in the log twice", (i for i, count in asked.items() if count > 1))
    yield from _each("requests have more than one event", (i for i, count in counted.items() if count > 1))
    yield from _each("events have no request", counted.keys() - asked.keys())
    yield from _each("requests that want no event have one", counted.keys() & (asked.keys() - wants))
    if at_rest:
        yield from _each("requests have no event", wants - counted.keys())
        if view.behind:
            yield f"{view.behind} requests are not committed by the processors' group"
    if view.letters:
        yield f"{view.letters} dead letters were written"
    events = {str(event["id"]): event for event in view.events}
    for call in told:
        yield from _of_call(call, call.request_id in asked, events.get(call.request_id))


def _each(what: str, ids: Iterable[str]) -> Iterator[str]:
    wrong = sorted(ids)
    if wrong:
        yield f"{len(wrong)} {what}, {wrong[0]} among them"


def _of_call(call: Told, accepted: bool, event: Mapping[str, Any] | None) -> Iterator[str]:
    """What a client was told against what the log holds."""
    name = f"{call.kind} {call.request_id}"
    if call.status == 500:
        yield f"{name} was answered with HTTP status 500: {call.answer}"
    if call.status == 200 and not accepted:
        yield f"{name} was answered with 200 and is not in the log"
    elif call.status == 200 and call.kind in ("fiqa", "compare unsaved"):
        return
    elif call.status == 200 and event is None:
        yield f"{name} was answered with 200 and has no event"
    elif call.status == 200 and event is not None and not _is_told(call, event):
        yield f"{name} was answered with 200 and its event says something else"
    elif (
        400 <= call.status < 500
        and accepted
        and call.kind not in ("fiqa", "compare unsaved")
        and (event is None or _code(event) != _code(call.answer))
    ):
        yield f"{name} was answered with {_code(call.answer)} and its event does not say so"


def _is_told(call: Told, event: Mapping[str, Any]) -> bool:
    """Whether the event says what a success was answered with."""
    if call.kind == "match":
        return all(call.answer[name] == event[name] for name in ("retcode", "identity_id", "name", "score"))
    if call.kind == "compare":
        return all(call.answer[name] == event[name] for name in ("retcode", "score"))
    outcomes = ("enrolled", "updated") if call.kind == "enrol" else ("deleted",)
    return event["outcome"] in outcomes and event["identity_id"] == call.identity_id


def _code(told: Mapping[str, Any]) -> object:
    return (told.get("error") or {}).get("code")


def people_differences(expected: Mapping[str, bool], there: set[str]) -> Iterator[str]:
    """Identity -> whether the last answer about it makes that it must be there, against those that are."""
    yield from _each(
        "people were enrolled with 200 and are gone", (i for i, must in expected.items() if must and i not in there)
    )
    yield from _each(
        "people were deleted with 200 and are there", (i for i, must in expected.items() if not must and i in there)
    )


def sink_differences(lines: Sequence[bytes], places: Mapping[tuple[int, int], Mapping[str, Any]]) -> Iterator[str]:
    """The lines of a JSON lines sink against the events of the log."""
    carried: Counter[tuple[int, int]] = Counter()
    for line in lines:
        event = orjson.loads(line)
        place = event.pop("place")
        at = (place["partition"], place["offset"])
        carried[at] += 1
        if at in places and event != places[at]:
            yield f"the sink's line of partition {at[0]} offset {at[1]} is not the event there"
    doubled = sum(count - 1 for count in carried.values())
    if doubled:
        yield f"{doubled} events stand in the sink's files twice"
    if lost := len(places.keys() - carried.keys()):
        yield f"{lost} events are missing in the sink's files"
    if foreign := len(carried.keys() - places.keys()):
        yield f"{foreign} lines of the sink's files are of no event in the log"
