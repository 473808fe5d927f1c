"""The judge of bench.kills finds what is wrong in a real file and in what clients were told."""

from pathlib import Path

import msgspec
import orjson
import pytest

from bench.killjudge import FileView, Told, differences, people_differences, sink_differences
from broker.embedded import open_embedded
from broker.port import NewRecord, TopicSpec

TOLD = {"retcode": "1", "identity_id": "p1", "name": "P1", "score": 0.9}
EVENT = {"id": "a", "outcome": "matched", **TOLD}
REFUSED = {"id": "a", "outcome": "no_face", "error": {"code": 40004}}


def request(request_id: str, kind: str = "match", **fields: object) -> bytes:
    return msgspec.msgpack.encode({"kind": kind, "request_id": request_id, **fields})


async def view_of(folder: Path, requests: list[bytes], events: list[dict[str, object]], letters: int = 0) -> FileView:
    """A view of a log with these, whose processors have committed all requests."""
    async with open_embedded(folder, role="owner", clock_ms=lambda: 1) as log:
        names = [f"picturematch.{name}" for name in ("requests", "events", "people", "dead-letters")]
        await log.ensure_topics([TopicSpec(name, 1) for name in names])
        await log.append([NewRecord(names[0], b"k", value) for value in requests])
        await log.append([NewRecord(names[1], b"k", orjson.dumps(event)) for event in events])
        await log.append([NewRecord(names[3], b"k", b"letter")] * letters)
        people = [(b"person/here", b"x"), (b"person/gone", b"x"), (b"photo/here/0", b"x"), (b"person/gone", None)]
        await log.append([NewRecord(names[2], key, value) for key, value in people])
        if requests:
            async with log.member(names[0], "picturematch-processor") as member:
                await member.commit(0, len(requests))
        view = FileView(folder / "log.sqlite")
        view.look()
        view.look()
    return view


@pytest.mark.parametrize(
    ("requests", "events", "found"),
    [
        ([request("a")], [EVENT], []),
        ([request("a"), request("a")], [EVENT], ["1 requests stand in the log twice, a among them"]),
        ([request("a")], [EVENT, EVENT], ["1 requests have more than one event, a among them"]),
        ([request("a")], [], ["1 requests have no event, a among them"]),
        ([], [EVENT], ["1 events have no request, a among them"]),
        ([request("a", "fiqa")], [], []),
        ([request("a", "compare", need_save=False)], [], []),
        ([request("a", "compare", need_save=True)], [], ["1 requests have no event, a among them"]),
        ([request("a", "compare")], [EVENT], ["1 requests that want no event have one, a among them"]),
    ],
)
async def test_requests_and_events_belong_together(
    tmp_path: Path, requests: list[bytes], events: list[dict[str, object]], found: list[str]
) -> None:
    view = await view_of(tmp_path, requests, events)
    assert list(differences(view, [], at_rest=True)) == found
    assert view.fault_of_file() is None
    assert view.people == {"here"}


@pytest.mark.parametrize(
    ("call", "events", "found"),
    [
        (Told("match", 200, "a", TOLD), [EVENT], ""),
        (Told("match", 200, "a", {**TOLD, "score": 0.8}), [EVENT], "its event says something else"),
        (Told("match", 200, "a", TOLD), [], "has no event"),
        (Told("match", 200, "z", TOLD), [], "is not in the log"),
        (Told("match", 400, "a", {"error": {"code": 40004}}), [REFUSED], ""),
        (Told("match", 400, "a", {"error": {"code": 40006}}), [REFUSED], "its event does not say so"),
        (Told("match", 400, "z", {"error": {"code": 40003}}), [], ""),
        (Told("match", 500, "a", {}), [EVENT], "HTTP status 500"),
        (Told("match", 504, "a", {}), [], ""),
        (Told("match", 0), [], ""),
        (Told("enrol", 200, "a", {}, "p1"), [{**EVENT, "outcome": "enrolled"}], ""),
        (Told("enrol", 200, "a", {}, "p2"), [{**EVENT, "outcome": "enrolled"}], "its event says something else"),
        (Told("delete", 200, "a", {}, "p1"), [{**EVENT, "outcome": "refused"}], "its event says something else"),
        (Told("compare", 200, "a", {"retcode": "1", "score": 0.9}), [EVENT], ""),
        (Told("fiqa", 200, "a", {}), [], ""),
    ],
)
async def test_an_answer_is_that_of_its_event(
    tmp_path: Path, call: Told, events: list[dict[str, object]], found: str
) -> None:
    view = await view_of(tmp_path, [request("a")], events)
    sentences = list(differences(view, [call], at_rest=False))
    assert len(sentences) == bool(found)
    assert all(found in sentence for sentence in sentences)


async def test_dead_letters_and_requests_that_are_not_committed_are_told(tmp_path: Path) -> None:
    view = await view_of(tmp_path, [request("a")], [EVENT], letters=2)
    view.behind = 3
    assert list(differences(view, [], at_rest=True)) == [
        "3 requests are not committed by the processors' group",
        "2 dead letters were written",
    ]


async def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    view = await view_of(tmp_path, [request(f"r{n}", filler=b"x" * 3000) for n in range(9)], [])
    path = tmp_path / "log.sqlite"
    content = path.read_bytes()
    path.write_bytes(content[:8192] + b"\xff" * (len(content) - 8192))
    assert view.fault_of_file() is not None


def test_people_that_are_gone_or_came_back_are_told() -> None:
    assert list(people_differences({"a": True, "b": False}, {"a"})) == []
    assert list(people_differences({"a": True, "b": False}, {"b"})) == [
        "1 people were enrolled with 200 and are gone, a among them",
        "1 people were deleted with 200 and are there, b among them",
    ]


def test_lines_of_a_sink_are_the_events_once_each() -> None:
    def line(offset: int, event: dict[str, object]) -> bytes:
        return orjson.dumps({"place": {"topic": "t", "partition": 0, "offset": offset}, **event})

    places = {(0, 0): {"id": "a"}, (0, 1): {"id": "b"}}
    whole = [line(0, {"id": "a"}), line(1, {"id": "b"})]
    assert list(sink_differences(whole, places)) == []
    assert list(sink_differences([*whole, whole[0]], places)) == ["1 events stand in the sink's files twice"]
    assert list(sink_differences(whole[:1], places)) == ["1 events are missing in the sink's files"]
    assert list(sink_differences([*whole, line(7, {"id": "c"})], places)) == [
        "1 lines of the sink's files are of no event in the log"
    ]
    assert list(sink_differences([whole[0], line(1, {"id": "x"})], places)) == [
        "the sink's line of partition 0 offset 1 is not the event there"
    ]
