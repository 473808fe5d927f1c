"""`picturematch explain` as a user runs it, beside a running server and after restarts, deletions and erasures."""

import asyncio
import base64
import json
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from msgspec import structs

from broker.embedded import open_embedded
from broker.port import NewRecord
from capture.folder import CaptureFolder
from contract.captures.convert import decision_of, line_of
from contract.captures.values import ConfigLine, PeopleLine
from contract.events import Event, decode_event, encode_event
from contract.evidence import decode_evidence
from contract.requests import MatchRequest, decode_request
from contract.topics import Topics
from tests.faults.test_serve import MATCH, USERS, enrol_body, match_body, post, read_all, serving
from tests.support.commands import Finished, run
from tests.support.faces import photo, scene

TOPICS = Topics()
STAND_IN = {"PICTUREMATCH_MODELS__KIND": "stand-in"}
GROUPS = "/SophonFogSys/api/group"


def body(picture: bytes, **fields: Any) -> dict[str, Any]:
    return {"device_ip": "10.0.0.1", "rgb_image_base64": base64.b64encode(picture).decode(), **fields}


async def explain(folder: Path, event_id: str, *options: object, **settings: str) -> tuple[Finished, dict[str, Any]]:
    """The explanation as JSON; an empty one where the command fails."""
    ended = await run("explain", event_id, "--data-folder", folder, "--json", *options, **(STAND_IN | settings))
    return ended, json.loads(ended.out) if ended.out else {}


async def events_of(folder: Path) -> dict[str, Event]:
    async with open_embedded(folder, role="guest", clock_ms=lambda: 0) as log:
        events = [decode_event(record.value or b"") for record in await read_all(log, TOPICS.events)]
    return {event.id: event for event in events}


async def decide_everything(url: str) -> dict[str, str]:
    """Let every outcome but `expired` and `error` happen that needs no settings; return outcome -> request id."""
    async with aiohttp.ClientSession() as session:
        for identity_id, seed, info in (
            ("anna", 1, {}),
            ("ben", 2, {"type": 3}),
            ("carla", 3, {"valid_until": time.time() - 60}),
        ):
            enrolled = enrol_body(identity_id, seed)
            enrolled["info"] |= info
            assert (await post(session, url + USERS, enrolled))[0] == 200
        calls = {
            "matched": body(photo(1, size=90)),
            "stranger": body(photo(77)),
            "blacklisted": body(photo(2)),
            "not_valid": body(photo(3)),
            "spoof": body(photo(1, live=False), liveness_mode="liveness_rgb"),
            "no_face": body(scene()),
            "image_error": body(photo(1)[:3000]),
            "error": body(photo(1), group_name="nowhere"),
        }
        return {outcome: (await post(session, url + MATCH, asked))[1] for outcome, asked in calls.items()}


@pytest.mark.longest
async def test_every_decision_is_explained_beside_the_server_and_after_restarts_and_deletions(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    async with serving(folder) as server:
        ids = await decide_everything(server.url)
        events = await events_of(folder)
        assert {outcome: events[event_id].outcome for outcome, event_id in ids.items()} == {o: o for o in ids}
        ended, told = await explain(folder, ids["matched"])
        assert (ended.status, ended.err, told["alarm"], told["way"]) == (0, "", False, "look")
        assert told["candidates"][0]["identity_id"] == "anna"

    async with serving(folder) as server, aiohttp.ClientSession() as session:
        for identity_id in ("anna", "ben"):
            async with session.delete(server.url + USERS, json={"identity_id": identity_id}) as answer:
                assert answer.status == 200
        assert (await post(session, server.url + USERS, enrol_body("dora", 77)))[0] == 200
        last = (await post(session, server.url + MATCH, match_body(77)))[1]
        for outcome, event_id in {**ids, "the last": last}.items():
            ended, told = await explain(folder, event_id)
            assert (ended.status, ended.err, told["alarm"], told["gone"]) == (0, "", False, []), outcome
            assert told["way"] == "look", outcome
            assert told["flips"] or told["no_flip"], outcome

    text = await run("explain", ids["stranger"], "--data-folder", folder, **STAND_IN)
    assert text.status == 0
    assert "nobody was recognised" in text.out
    assert "everything came out as recorded" in text.out
    assert "Single changes that lead to another outcome" in text.out


async def test_a_tampered_event_is_an_alarm_that_names_every_field_first(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    async with serving(folder) as server:
        ids = await decide_everything(server.url)
    event = (await events_of(folder))[ids["matched"]]
    forged = structs.replace(event, identity_id="ben", name="Be\x1b[2Jn", score=0.5)
    async with open_embedded(folder, role="owner", clock_ms=lambda: int(time.time() * 1000)) as log:
        await log.append([NewRecord(TOPICS.events, b"10.0.0.1", encode_event(forged))])
    ended, told = await explain(folder, event.id)
    assert (ended.status, told["alarm"]) == (1, True)
    assert {"identity_id", "name", "score"} <= {alarm["what"] for alarm in told["alarms"]}
    text = await run("explain", event.id, "--data-folder", folder, **STAND_IN)
    assert (text.status, text.out.startswith("ALARM: ")) == (1, True)
    assert "  identity_id: ben was recorded, and now it is anna" in text.out
    assert "\x1b" not in text.out


async def test_an_erased_person_leaves_what_the_event_records_and_since_when_the_rest_is_gone(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    async with serving(folder) as server:
        ids = await decide_everything(server.url)
        erased = await run("people", "erase", "anna", "--yes", "--url", server.url, "--data-folder", folder)
        assert erased.status == 0
        ended, told = await explain(folder, ids["matched"])
        assert (ended.status, told["alarm"], told["way"]) == (0, False, "read")
        gone = {each["what"]: each for each in told["gone"]}
        assert set(gone) == {"picture", "evidence", "gallery"}
        assert all("erased" in each["sentence"] for each in gone.values())
        assert all(abs(each["since_s"] - time.time()) < 120 for each in gone.values())
        assert [check["name"] for check in told["checks"]] == ["threshold"]
        assert told["no_flip"].startswith("No change could be tried")
        ended, told = await explain(folder, ids["stranger"])
        assert (ended.status, told["way"]) == (0, "read"), "the picture is there, and the people of then are not"


async def test_without_evidence_the_picture_is_enough(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    async with serving(folder, PICTUREMATCH_PROCESSOR__EVIDENCE="false") as server:
        ids = await decide_everything(server.url)
    ended, told = await explain(folder, ids["matched"])
    assert (ended.status, told["alarm"], told["way"]) == (0, False, "look")
    assert [each["sentence"] for each in told["gone"]] == [
        "The match has no evidence: the setting processor.evidence was off."
    ]
    assert told["candidates"][0]["identity_id"] == "anna"


async def test_with_other_networks_the_evidence_is_enough(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    async with serving(folder) as server:
        ids = await decide_everything(server.url)
    nothing = {"PICTUREMATCH_MODELS__KIND": "networks", "PICTUREMATCH_MODELS__FOLDER": str(tmp_path / "none")}
    for outcome in ("matched", "stranger", "blacklisted", "not_valid"):
        ended, told = await explain(folder, ids[outcome], **nothing)
        assert (ended.status, told["alarm"], told["way"]) == (0, False, "decide"), outcome
        assert [each["what"] for each in told["gone"]] == ["networks"]
        assert told["flips"], outcome
    ended, told = await explain(folder, ids["spoof"], **nothing)
    assert (ended.status, told["alarm"], told["way"]) == (0, False, "read")
    assert "rgb_live" in {check["name"] for check in told["checks"]}


async def test_a_picture_that_retention_removed_is_gone_since_then_and_the_evidence_decides(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    async with serving(folder) as server:
        ids = await decide_everything(server.url)
    event = (await events_of(folder))[ids["matched"]]
    place = structs.replace(event.request, offset=1_000_000)
    async with open_embedded(folder, role="owner", clock_ms=lambda: int(time.time() * 1000)) as log:
        await log.append([NewRecord(TOPICS.events, b"10.0.0.1", encode_event(structs.replace(event, request=place)))])
    await asyncio.sleep(1.1)  # the command may start within the shortest retention
    ended, told = await explain(folder, event.id, PICTUREMATCH_LOG__REQUESTS_RETENTION_MS="1000")
    (gone,) = [each for each in told["gone"] if each["what"] == "picture"]
    assert "retention removed its record (the setting log.requests_retention_ms)" in gone["sentence"]
    assert gone["since_s"] == pytest.approx(event.processed_time + 1, abs=60)
    ended, told = await explain(folder, event.id)
    assert (ended.status, told["alarm"], told["way"]) == (0, False, "decide")


async def test_unknown_ids_are_refused_in_one_sentence(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    async with serving(folder) as server:
        ids = await decide_everything(server.url)
        refused = await run("explain", "nobody", "--data-folder", folder, **STAND_IN)
        assert (refused.status, refused.out) == (2, "")
        assert refused.err.startswith("picturematch: the log has no event with the id nobody")
        late = await run("explain", ids["matched"], "--data-folder", folder, "--since", "2100-01-01", **STAND_IN)
        assert (late.status, late.out) == (2, "")


async def test_an_enrolment_is_made_again(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    async with serving(folder) as server:
        await decide_everything(server.url)
    (event,) = [e for e in (await events_of(folder)).values() if e.kind == "enrol" and e.identity_id == "anna"]
    ended, told = await explain(folder, event.id)
    assert (ended.status, told["kind"], told["outcome"], told["way"]) == (0, "enrol", "enrolled", "look")
    assert "everything came out as recorded" in told["sentences"][1]
    assert "a request to enrol or change anna" in told["sentences"][0]
    assert {check["name"] for check in told["checks"]} >= {"face_size"}


@pytest.mark.longest
async def test_a_line_of_a_capture_is_explained_like_its_event(tmp_path: Path) -> None:
    folder, capture = tmp_path / "data", tmp_path / "capture"
    async with serving(folder) as server:
        ids = await decide_everything(server.url)
    await capture_all(folder, capture)
    for outcome in ("matched", "stranger", "spoof"):
        ended, told = await explain(folder, ids[outcome], "--capture", capture)
        assert (ended.status, ended.err, told["alarm"], told["way"], told["gone"]) == (0, "", False, "look", []), (
            outcome
        )
        _, from_log = await explain(folder, ids[outcome])
        assert told["flips"] == from_log["flips"]
    refused = await run("explain", "nobody", "--capture", capture, **STAND_IN)
    assert (refused.status, "has no request with the id nobody" in refused.err) == (2, True)


async def capture_all(folder: Path, out: Path) -> None:
    """Write the whole log into a capture."""
    async with open_embedded(folder, role="guest", clock_ms=lambda: 0) as log:
        requests = await read_all(log, TOPICS.requests)
        written = [decode_evidence(record.value or b"") for record in await read_all(log, TOPICS.evidence)]
        people = await read_all(log, TOPICS.people)
        configs = await read_all(log, TOPICS.configs)
    events, evidence = await events_of(folder), {each.event_id: each for each in written}
    with CaptureFolder(out) as captured:
        for record in requests:
            request = decode_request(record.value or b"")
            assert isinstance(request, MatchRequest)
            captured.keep_picture(request.picture)
            event = events[request.request_id]
            decision = decision_of(event, evidence.get(event.id))
            captured.append([line_of(request, event.request, decision)])
        captured.append_people(
            [PeopleLine(offset=r.offset, time=r.timestamp_ms / 1000, key=r.key or b"", value=r.value) for r in people]
        )
        captured.append_configs(
            [ConfigLine(key=(r.key or b"").decode(), value=json.loads(r.value or b"{}")) for r in configs]
        )
        captured.describe(people_from=0)
