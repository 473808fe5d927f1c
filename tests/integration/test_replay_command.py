"""`picturematch capture` and `picturematch replay` against a server that answers what the test says."""

import base64
import json
import time
from pathlib import Path

import pytest

from capture.folder import CaptureFolder
from capture.reader import CaptureReader
from capture.replay import GIVE_UP_AFTER, LineResult, replay
from clients.errors import CannotRun
from clients.http import Client
from contract.captures.values import CapturedDecision, CapturedRequest, CaptureLine
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
    assert ended.out == "3 same, 0 different, 0 not compared, 0 could not run\n"
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
    assert ended.out.splitlines() == [
        'line 2 (r1): retcode was "1", is "0"; identity_id was "7", is ""; score was 0.7500, is 0.2000',
        'line 3 (r2): error was none, is "40004 NO_FACE"',
        "line 4 (r3): score was 0.7500, is 0.7401",
        "1 same, 3 different, 0 not compared, 0 could not run",
    ]
    assert loose.out.splitlines()[-1] == "2 same, 2 different, 0 not compared, 0 could not run"


async def test_json_output_is_json_lines_with_the_summary_last(tmp_path: Path) -> None:
    folder = capture(tmp_path / "capture", 4)
    async with scripted_server(answer_variously) as server:
        ended = await run("replay", folder, "--url", server.url, "--concurrency", 1, "--json")
    assert ended.status == 1
    *different, summary = map(json.loads, ended.out.splitlines())
    assert [line["line"] for line in different] == [2, 3, 4]
    assert different[2]["differences"] == [{"what": "score", "then": 0.75, "now": 0.7401}]
    assert summary == {"summary": {"same": 1, "different": 3, "not_compared": 0, "could_not_run": 0}}


@pytest.mark.parametrize("trouble", [refusal(50380), refusal(50480), None, (502, "<html>"), (200, {"hello": 1})])
async def test_lines_that_could_not_be_run_are_counted_apart_and_status_2(
    tmp_path: Path, trouble: Answer | None
) -> None:
    folder = capture(tmp_path / "capture", 3)
    async with scripted_server(lambda b: trouble if b["device_ip"] == "gate-1" else MATCH) as server:
        ended = await run("replay", folder, "--url", server.url)
    assert ended.status == 2
    assert ended.out == "2 same, 0 different, 0 not compared, 1 could not run\n"
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
            ((tmp_path / "none",), "is not a folder"),
            ((tmp_path,), "is not a capture"),
            ((broken, "--url", other.url), "line 3 of requests.jsonl"),
        ):
            ended = await run("replay", *arguments)
            assert (ended.status, ended.out) == (2, ""), arguments
            assert sentence in ended.err
            assert len(ended.err.splitlines()) == 1
        assert other.calls
    assert (await run("replay", folder, "--rate", "slow")).status == 2


async def test_a_server_that_goes_away_ends_the_run(tmp_path: Path) -> None:
    reader = CaptureReader(capture(tmp_path / "capture", GIVE_UP_AFTER + 5))
    results: list[LineResult] = []
    async with (
        scripted_server(lambda _: MATCH if len(server.calls) == 1 else None) as server,
        Client(server.url) as client,
    ):
        with pytest.raises(CannotRun, match="in a row had no answer"):
            await replay(reader, client, results.append, concurrency=1)
    assert len(results) == GIVE_UP_AFTER


async def test_the_recorded_pace_is_kept(tmp_path: Path) -> None:
    reader = CaptureReader(capture(tmp_path / "capture", 4, apart_s=0.1))
    results: list[LineResult] = []
    began_s = time.monotonic()
    async with scripted_server(lambda _: MATCH) as server, Client(server.url) as client:
        await replay(reader, client, results.append, rate="as-recorded")
    assert len(results) == 4
    assert time.monotonic() - began_s >= 0.3, "the last request was posted before its time"


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
    assert ended.out.splitlines() == [
        'line 3 (handmade-3): error was none, is "40004 NO_FACE"',
        "2 same, 1 different, 1 not compared, 0 could not run",
    ]


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
