"""Times that no clock shows, in a capture that somebody else made, are damage with file and line and no stack trace."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from msgspec import structs

from capture.folder import CaptureFolder
from capture.reader import CaptureReader
from contract.captures.convert import request_of
from contract.captures.values import CaptureError, PeopleLine, Selection
from engine.policy import Policy
from tests.support.captures import captured
from tests.support.commands import run
from tests.support.records import match_request

Make = Callable[[CaptureFolder], None]


def request_at(**changes: float) -> Make:
    def make(folder: CaptureFolder) -> None:
        folder.append([structs.replace(captured(folder, match_request(1), 1), **changes)])

    return make


def decision_at(time_s: float) -> Make:
    def make(folder: CaptureFolder) -> None:
        line = captured(folder, match_request(1), 1)
        assert line.decision is not None
        folder.append([structs.replace(line, decision=structs.replace(line.decision, decided_time=time_s))])

    return make


def person_at(time_s: float) -> Make:
    return lambda folder: folder.append_people([PeopleLine(offset=1, time=time_s, key=b"person/a", value=None)])


def read_all(folder: Path) -> None:
    reader = CaptureReader(folder)
    for _ in (*reader.lines(), *reader.people()):
        pass


@pytest.mark.parametrize("time_s", [1e18, -1e18, 253402300799.5])
@pytest.mark.parametrize(
    ("made", "place"),
    [
        (lambda time_s: request_at(received_time=time_s), "line 1 of requests.jsonl"),
        (decision_at, "line 1 of requests.jsonl"),
        (person_at, "line 1 of people.jsonl"),
    ],
    ids=["received", "decided", "people"],
)
async def test_a_time_that_no_clock_shows_is_damage(
    tmp_path: Path, made: Callable[[float], Make], place: str, time_s: float
) -> None:
    with CaptureFolder(tmp_path / "c") as folder:
        made(time_s)(folder)
    with pytest.raises(CaptureError, match=place):
        read_all(tmp_path / "c")


async def test_commands_answer_with_a_sentence(tmp_path: Path) -> None:
    with CaptureFolder(tmp_path / "c") as folder:
        request_at(received_time=1e18)(folder)
    for command in (("capture", "check", tmp_path / "c"), ("explain", "r1", "--capture", tmp_path / "c")):
        done = await run(*command, PICTUREMATCH_MODELS__KIND="stand-in")
        assert done.status in (1, 2)
        assert "line 1 of requests.jsonl" in done.err
        assert "Traceback" not in done.err


def test_a_manifest_with_such_a_time_is_refused(tmp_path: Path) -> None:
    with CaptureFolder(tmp_path / "c") as folder:
        folder.describe(selection=Selection(since=1e18))
    with pytest.raises(CaptureError, match=r"capture\.json"):
        CaptureReader(tmp_path / "c")


@pytest.mark.parametrize("time_s", [1e300, -1e300, 1e18])
def test_a_device_may_have_sent_any_time_and_a_hand_made_line_may_have_only_that(tmp_path: Path, time_s: float) -> None:
    with CaptureFolder(tmp_path / "c") as folder:
        line = captured(folder, match_request(1), 1)
        sent = structs.replace(line, request=structs.replace(line.request, compare_time=time_s))
        folder.append([sent, structs.replace(sent, received_time=None, place=None)])
    recorded, made = (line for _, line in CaptureReader(tmp_path / "c").lines())
    assert request_of(recorded).compare_time_s == time_s
    assert at_the_door(request_of(made).received_time_s)


def at_the_door(time_s: float) -> bool:
    """Whether pass times can be looked up at a time, in the zones that are furthest from UTC."""
    zones = [Policy(time_zone=name).zone for name in ("Pacific/Kiritimati", "Etc/GMT+12", "UTC")]
    return all(datetime.fromtimestamp(time_s, zone) for zone in zones)
