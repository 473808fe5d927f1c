"""`picturematch capture` and `picturematch replay` against a server that answers what the test says."""

import asyncio
import base64
import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from capture.folder import CaptureFolder
from capture.posting import GIVE_UP_AFTER, Poster, Posting, _Pace
from capture.reader import CaptureReader
from capture.rows import Row
from clients.errors import CannotRun
from clients.http import Client
from contract.captures.values import CapturedDecision, CapturedRequest, CaptureLine
from contract.events import Threshold
from tests.support.commands import run
from tests.support.records import jpeg
from tests.support.scripted_server import Answer, Body, refusal, scripted_server

MATCH: Answer = (200, {"retcode": "1", "identity_id": "7", "name": "x", "score": 0.75, "identity_info": {}})
STRANGER: Answer = (200, {"retcode": "0", "identity_id": "", "name": "stranger", "score": 0.2, "identity_info": {}})
MATCHED = CapturedDecision(outcome="matched", gallery_version=1, models={}, retcode="1", identity_id="7", score=0.75)


def capture(folder: Path, count: int, *, apart_s: float = 0.0) -> Path:
    """A capture of `count` matches of identity 7, from devices gate-0, gate-1 ..."""
    with CaptureFolder(folder) as out:
        for number in range(count):
            request = CapturedRequest(
                picture=out.keep_picture(jpeg(number)),
                ir_picture=out.keep_picture(jpeg(100 + number)),
                device_ip=f"gate-{number}",
                compare_time=1_700_000_000.125,
                liveness_mode="liveness_rgb_ir",
            )
            out.append(
                [
                    CaptureLine(
                        request_id=f"r{number}",
                        received_time=1_700_000_000 + number * apart_s,
                        request=request,
                        decision=MATCHED,
                    )
                ]
            )
    return folder


async def test_a_replay_posts_what_the_device_posted_and_the_same_is_status_0(tmp_path: Path) -> None:
    folder = capture(tmp_path / "capture", 3)
    async with scripted_server(lambda _: MATCH) as server:
        ended = await run("replay", folder, "--url", server.url + "/", "--api-key", "k", "--concurrency", 1)
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.splitlines()[-1] == "3 same, 0 different, 0 not compared, 0 could not run"
    assert [path for path, _ in server.calls] == ["/SophonMatch/api/PictureMatch"] * 3
    assert server.headers["X-API-Key"] == "k"
    assert server.headers["X-Replay-Of"] == "r2", "the last line of the capture"
    assert server.bodies[1] == {
        "device_ip": "gate-1",
        "compare_time": 1_700_000_000.125,
        "liveness_mode": "liveness_rgb_ir",
        "rgb_image_base64": base64.b64encode(jpeg(1)).decode(),
        "ir_image_base64": base64.b64encode(jpeg(101)).decode(),
    }


def answer_variously(body: Body) -> Answer:
    return {
        "gate-0": MATCH,
        "gate-1": STRANGER,
        "gate-2": refusal(40004),
        "gate-3": (200, {**MATCH[1], "score": 0.7401}),
    }[body["device_ip"]]


async def test_what_differs_is_a_line_each_and_status_1(tmp_path: Path) -> None:
    folder = capture(tmp_path / "capture", 4)
    async with scripted_server(answer_variously) as server:
        ended = await run("replay", folder, "--url", server.url, "--concurrency", 1, "--score-tolerance", 0.005)
        loose = await run("replay", folder, "--url", server.url, "--score-tolerance", 0.01)
    assert ended.status == 1
    *_, summary = lines = ended.out.splitlines()
    assert [line.partition(" [")[0] for line in lines if line.startswith("line ")] == [
        'line 2 (r1): matched_to_stranger: matched "7", score 0.7500; now stranger, score 0.2000',
        'line 3 (r2): to_no_face: matched "7", score 0.7500; now no_face, 40004 NO_FACE',
        'line 4 (r3): score_only: matched "7", score 0.7500; now matched "7", score 0.7401',
    ]
    assert 'retcode was "1", is "0"; identity_id was "7", is ""; score was 0.7500, is 0.2000' in ended.out
    assert 'error was none, is "40004 NO_FACE"' in ended.out
    assert summary == "1 same, 3 different, 0 not compared, 0 could not run"
    assert loose.out.splitlines()[-1] == "2 same, 2 different, 0 not compared, 0 could not run"


async def test_json_output_is_json_lines_with_the_summary_last(tmp_path: Path) -> None:
    folder = capture(tmp_path / "capture", 4)
    async with scripted_server(answer_variously) as server:
        ended = await run("replay", folder, "--url", server.url, "--concurrency", 1, "--json")
    assert ended.status == 1
    *different, summary = map(json.loads, ended.out.splitlines())
    assert [line["line"] for line in different] == [2, 3, 4]
    assert different[2]["differences"] == [{"what": "score", "then": 0.75, "now": 0.7401}]
    counts = {"same": 1, "different": 3, "not_compared": 0, "could_not_run": 0}
    assert counts.items() <= summary["summary"].items()
    assert summary["summary"]["tiers"] == {"url": counts}
    assert [times["count"] for times in summary["summary"]["latency"] if times["of"] == "server"] == [4]


@pytest.mark.parametrize("trouble", [refusal(50380), refusal(50480), None, (502, "<html>"), (200, {"hello": 1})])
async def test_lines_that_could_not_be_run_are_counted_apart_and_status_2(
    tmp_path: Path, trouble: Answer | None
) -> None:
    folder = capture(tmp_path / "capture", 3)
    async with scripted_server(lambda b: trouble if b["device_ip"] == "gate-1" else MATCH) as server:
        ended = await run("replay", folder, "--url", server.url)
    assert ended.status == 2
    assert ended.out.splitlines()[-1] == "2 same, 0 different, 0 not compared, 1 could not run"
    assert ended.err.startswith("line 2 (r1): ")
    assert len(ended.err.splitlines()) == 1


async def test_what_cannot_run_at_all_is_one_sentence_and_status_2(tmp_path: Path, unused_port: int) -> None:
    folder = capture(tmp_path / "capture", 2)
    broken = capture(tmp_path / "broken", 2)
    with (broken / "requests.jsonl").open("ab") as lines:
        lines.write(b"{}\n")
    async with scripted_server(lambda _: refusal(40180)) as locked, scripted_server(lambda _: (404, "?")) as other:
        for arguments, sentence in (
            ((folder, "--url", locked.url), "API key"),
            ((folder, "--url", other.url), "check the URL"),
            ((folder, "--url", f"http://127.0.0.1:{unused_port}"), "picturematch serve"),
            ((tmp_path / "none",), "cannot be opened"),
            ((tmp_path,), "is not a capture"),
            ((broken, "--url", other.url), "line 3 of requests.jsonl"),
        ):
            ended = await run("replay", *arguments)
            assert (ended.status, ended.out) == (2, ""), arguments
            assert sentence in ended.err
            assert len(ended.err.splitlines()) == 1
        assert other.calls
    assert (await run("replay", folder, "--rate", "slow")).status == 2


async def posted(capture: Path, answer: Callable[[Body], Answer | None], **how: Any) -> tuple[Poster, list[Row]]:
    """The rows of a capture that was posted to a server which answers like that."""
    rows: list[Row] = []
    async with scripted_server(answer) as server, Client(server.url) as client:
        poster = Poster(CaptureReader(capture), client, Posting(**how))
        rows.extend([row async for row in poster.rows()])
    return poster, rows


async def test_a_row_has_the_scale_of_the_servers_score(tmp_path: Path) -> None:
    folder = capture(tmp_path / "capture", 1)
    percent: Answer = (200, {**MATCH[1], "score": 91.0})
    for answer, named, scale in ((MATCH, None, "raw"), (percent, None, "percent"), (MATCH, "percent", "percent")):
        _, (row,) = await posted(folder, lambda _, answer=answer: answer, scale=named)
        assert row.scale == scale


async def test_a_server_that_goes_away_ends_the_run(tmp_path: Path) -> None:
    reader = CaptureReader(capture(tmp_path / "capture", GIVE_UP_AFTER + 5))
    rows: list[Row] = []
    async with (
        scripted_server(lambda _: MATCH if len(server.calls) == 1 else None) as server,
        Client(server.url) as client,
    ):
        poster = Poster(reader, client, Posting(concurrency=1))
        with pytest.raises(CannotRun, match="in a row had no answer"):  # noqa: PT012 - the loop is the statement
            async for row in poster.rows():
                rows.append(row)  # noqa: PERF401 - those before the error are kept
    assert len(rows) == GIVE_UP_AFTER


@pytest.mark.parametrize(("speed", "least_s", "most_s"), [(1, 1.2, 9.0), (4, 0.3, 1.1), (None, 0, 1.1)])
async def test_requests_are_posted_at_the_recorded_pace_some_times_faster_or_flat_out(
    tmp_path: Path, speed: float | None, least_s: float, most_s: float
) -> None:
    folder = capture(tmp_path / "capture", 4, apart_s=0.4)
    began_s = time.monotonic()
    _, rows = await posted(folder, lambda _: MATCH, speed=speed)
    assert [row.trouble for row in rows] == [None] * 4
    assert least_s <= time.monotonic() - began_s <= most_s


async def test_a_request_that_is_too_late_is_not_sent_and_counted(tmp_path: Path) -> None:
    """One call at a time, each of which takes .3 s, although the requests came every .1 s."""
    folder = capture(tmp_path / "capture", 6, apart_s=0.1)
    sent: list[str] = []

    def slow(body: Body) -> Answer:
        sent.append(body["device_ip"])
        time.sleep(0.3)
        return MATCH

    poster, rows = await posted(folder, slow, speed=1, concurrency=1, deadline_s=0.5)
    late = [row for row in rows if row.trouble is not None]
    assert poster.late == len(late) > 0
    assert len(sent) == 6 - len(late)
    assert {row.line.request.device_ip for row in late}.isdisjoint(sent)
    assert all("it was not sent" in (row.trouble or "") for row in late)
    _, flat_out = await posted(folder, slow, concurrency=1, deadline_s=0.5)
    assert [row.trouble for row in flat_out] == [None] * 6, "without a pace nothing is late"


async def test_a_clock_that_was_set_back_makes_no_request_late(tmp_path: Path) -> None:
    """Behind the step the pace begins anew; a request that another has passed is due at once."""
    folder, recorded_s = capture(tmp_path / "capture", 6), (100.0, 100.2, 90.2, 90.1, 90.4, 90.5)
    with CaptureFolder(folder) as out, out.replacing_requests() as new:
        lines = [line for _, line in CaptureReader(folder).lines()]
        new.append([structs.replace(line, received_time=s) for line, s in zip(lines, recorded_s, strict=True)])
    began_s = time.monotonic()
    poster, rows = await posted(folder, lambda _: MATCH, speed=1, deadline_s=5.0)
    assert [row.trouble for row in rows] == [None] * 6
    assert poster.late == 0
    assert 0.5 <= time.monotonic() - began_s < 5


async def test_no_request_is_due_before_the_one_before_it() -> None:
    pace = _Pace(1000.0)
    due_s = [await pace.wait(recorded_s) for recorded_s in (100, 101, 100.5, 102, 92, 91.5, 93, 94)]
    assert [1000 * (each - due_s[0]) for each in due_s] == pytest.approx([0, 1, 1, 2, 2, 2, 3, 4])


async def test_rows_come_in_the_order_of_lines_and_few_pictures_are_on_the_way(tmp_path: Path) -> None:
    folder = capture(tmp_path / "capture", 60)
    open_now: Counter[str] = Counter()
    most = 0

    async def handle(body: Body) -> Answer:
        nonlocal most
        open_now["calls"] += 1
        most = max(most, open_now["calls"])
        await asyncio.sleep(0.2 if body["device_ip"] == "gate-0" else 0.001)
        open_now["calls"] -= 1
        return MATCH

    async with scripted_server(handle) as server, Client(server.url) as client:
        poster = Poster(CaptureReader(folder), client, Posting(concurrency=3))
        numbers = [row.number async for row in poster.rows()]
    assert numbers == list(range(1, 61))
    assert most == 3


async def test_another_server_gets_no_header_that_it_may_refuse(tmp_path: Path) -> None:
    folder = capture(tmp_path / "capture", 1)
    async with scripted_server(lambda _: MATCH) as server:
        ended = await run("replay", folder, "--url", server.url, "--no-replay-header")
    assert ended.status == 0
    assert "X-Replay-Of" not in server.headers


def search_capture(folder: Path, **decision: Any) -> Path:
    """A capture of two searches of version 6, with a match of version 5 between them."""
    with CaptureFolder(folder) as out:
        picture = out.keep_picture(jpeg(1))
        search = CapturedRequest(picture=picture, device_ip="gate", by_permission=True, permission_name="day")
        match = CapturedRequest(picture=picture, device_ip="gate")
        applied = Threshold(value=0.5, cosine=0.5, rule="setting")
        then = structs.replace(MATCHED, threshold=0.5, applied=applied, **decision)
        lines = [
            CaptureLine(request_id=f"r{number}", received_time=1.7e9, request=request, decision=then)
            for number, request in enumerate((search, match, search))
        ]
        out.append(lines)
    return folder


async def test_searches_of_version_6_are_posted_as_such_and_their_percent_scores_are_compared(tmp_path: Path) -> None:
    folder = search_capture(tmp_path / "capture")
    found = {"result": True, "score": 91.0, "identity_id": "7", "identity_info": {"user_type": "employee"}}
    async with scripted_server(lambda body: MATCH if "device_ip" in body else (200, found)) as server:
        ended = await run("replay", folder, "--url", server.url, "--concurrency", 1)
    assert (ended.status, ended.out.splitlines()[-1]) == (0, "3 same, 0 different, 0 not compared, 0 could not run")
    path, body = server.calls[0]
    assert path == "/sophon/v2/face/search"
    assert body["media_device_ip"] == "gate"
    assert body["permission_name"] == "day"
    assert body["with_result_modification"] is True


async def test_an_error_of_version_6_has_a_name_that_is_compared(tmp_path: Path) -> None:
    nothing = {"retcode": None, "identity_id": "", "score": None, "error_code": 40004, "outcome": "no_face"}
    folder = search_capture(tmp_path / "capture", **nothing)
    named = (400, {"error": {"code": "NO_FACE_ERROR", "message": "because"}})
    _, rows = await posted(folder, lambda body: refusal(40004) if "device_ip" in body else named)
    assert [row.differences for row in rows] == [()] * 3
    other = (404, {"error": {"code": "PERMISSION_ID_NOT_FOUND", "message": "because"}})
    _, rows = await posted(folder, lambda body: refusal(40004) if "device_ip" in body else other)
    assert [row.now.outcome for row in rows if row.now] == ["error", "no_face", "error"]


async def test_searches_are_skipped_and_counted_where_a_server_has_none(tmp_path: Path) -> None:
    folder = search_capture(tmp_path / "capture")
    missing = (404, {"error": {"code": 40400, "message": "no such URL"}})
    async with scripted_server(lambda body: MATCH if "device_ip" in body else missing) as server:
        ended = await run("replay", folder, "--url", server.url, "--concurrency", 1)
    assert ended.status == 0
    assert ended.out.splitlines()[-1] == "1 same, 0 different, 2 not compared, 0 could not run"
    assert ended.err == "2 requests skipped: the server has no search of version 6\n"
    assert len(server.calls) == 2, "the second search was not even sent"


@pytest.mark.parametrize(
    ("options", "score", "status"),
    [
        ((), 91.0, 0),
        ((), 91.2, 1),
        (("--scale", "percent"), 91.05, 0),
        (("--scale", "raw"), 91.0, 1),
        (("--scale", "raw"), 0.75, 0),
        (("--scale", "percent"), 0.75, 1),
    ],
)
async def test_a_box_with_the_percent_scale_is_compared_with_the_recorded_cosines(
    tmp_path: Path, options: tuple[str, ...], score: float, status: int
) -> None:
    """The cosine .75 lies in the middle between the threshold .5 and 1, and so at 91 between 82 and 100."""
    folder = search_capture(tmp_path / "capture")
    with CaptureFolder(folder) as out, out.replacing_requests() as new:
        new.append([line for _, line in CaptureReader(folder).lines() if not line.request.by_permission])
    async with scripted_server(lambda _: (200, {**MATCH[1], "score": score})) as server:
        ended = await run("replay", folder, "--url", server.url, "--no-replay-header", *options)
    assert ended.status == status, ended.out


async def test_contradicting_paces_are_refused(tmp_path: Path) -> None:
    folder = capture(tmp_path / "capture", 1)
    url = "http://127.0.0.1:9"
    ended = await run("replay", folder, "--url", url, "--rate", "as-recorded", "--speed", "2")
    assert (ended.status, "exclude each other" in ended.err) == (2, True)
    ended = await run("replay", folder, "--speed", "2")
    assert (ended.status, "--speed can only be used with --url" in ended.err) == (2, True)


async def test_a_capture_made_by_hand_is_compared_with_what_it_expects(tmp_path: Path) -> None:
    pictures = tmp_path / "photos"
    pictures.mkdir()
    for number in range(3):
        (pictures / f"{number}.jpg").write_bytes(jpeg(number))
    (tmp_path / "list.csv").write_text(
        "path,device_ip,compare_time,expected_identity_id\n"
        "0.jpg,gate-0,1700000000,7\n1.jpg,gate-1,,-\n2.jpg,gate-2,,7\n0.jpg,gate-0,,\n"
    )
    out = tmp_path / "out"
    made = await run("capture", "from-list", tmp_path / "list.csv", "--pictures", pictures, "--out", out)
    assert (made.status, made.out, made.err) == (0, f"4 requests in {out}\n", "")
    assert len(list((out / "pictures").iterdir())) == 3

    async with scripted_server(answer_variously) as server:
        ended = await run("replay", out, "--url", server.url, "--concurrency", 1)
        assert [body.get("compare_time") for body in server.bodies] == [1_700_000_000.0, None, None, None]
    assert ended.status == 1
    lines = ended.out.splitlines()
    (differing,) = (line for line in lines if line.startswith("line ") and "not compared" not in line)
    assert differing.startswith("line 3 (handmade-3): to_no_face: ")
    assert lines[-1] == "2 same, 1 different, 1 not compared, 0 could not run"


async def test_a_capture_is_not_made_where_something_is_or_from_a_bad_list(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(1))
    (tmp_path / "list.csv").write_text("path,device_ip\na.jpg,gate\n../a.jpg,gate\n")
    bad = await run("capture", "from-list", tmp_path / "list.csv", "--out", tmp_path / "out")
    assert (bad.status, "line 3" in bad.err) == (2, True)
    assert not (tmp_path / "out").exists()
    taken = await run("capture", "from-list", tmp_path / "list.csv", "--out", tmp_path)
    assert (taken.status, "not empty" in taken.err) == (2, True)


async def test_nothing_to_compare_is_not_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(1))
    (tmp_path / "list.csv").write_text("path,device_ip\na.jpg,gate\n")
    assert (await run("capture", "from-list", tmp_path / "list.csv", "--out", tmp_path / "out")).status == 0
    async with scripted_server(lambda _: MATCH) as server:
        assert (await run("replay", tmp_path / "out", "--url", server.url)).status == 2
