"""Strangers through whole systems: enrolled once, recognised the next time, never let in, bounded, also after kills."""

import asyncio
import json
from collections import Counter
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from broker.port import Start
from contract.events import Event, decode_event
from contract.http import EVENTS_PATH, MATCH_PATH, USERS_PATH
from contract.requests import EnrolRequest, Headers, MatchRequest
from engine.policy import Policy
from picturematch.opening import open_broker
from tests.integration.test_lookalikes import feature
from tests.integration.test_processor import TOPICS, read_all, running
from tests.integration.test_push import got, site, upload_to
from tests.integration.test_record_and_replay import expect_no_difference, recorded
from tests.integration.test_roles_on_kafka import encoded
from tests.integration.test_site_settings import Client
from tests.support.faces import like_face, photo
from tests.support.receivers import Receiver, receiving
from tests.support.sites import Processes, at, embedded_site, kafka_site
from tests.support.waiting import until

PATIENCE_S = 30.0
STRANGERS = {
    "PICTUREMATCH_MATCHING__ENROL_STRANGERS": "true",
    "PICTUREMATCH_MATCHING__UNKNOWN_DEVICE": "accept",
}
MOST_ROUNDS = 10
"""So many kills at most, until one comes between a match and the enrolment that follows from it."""


async def asked(url: str, picture: bytes, **fields: Any) -> tuple[str, dict[str, Any]]:
    """A match that may enrol a stranger; return the id of its event, and the answer."""
    body = {"device_ip": "10.0.0.1", "rgb_image_base64": encoded(picture), "support_stranger": True, **fields}
    async with aiohttp.ClientSession() as session, session.post(url + MATCH_PATH, json=body) as response:
        return response.headers["X-Request-Id"], await response.json()


async def enrol(url: str, identity_id: str, seed: int) -> None:
    person = {"identity_id": identity_id, "reg_photo": encoded(photo(seed)), "info": {"name": "Anna"}}
    async with aiohttp.ClientSession() as session, session.post(f"{url}{USERS_PATH}", json=person) as response:
        assert response.status == 200, await response.text()


async def person_of(url: str, identity_id: str) -> dict[str, Any] | None:
    asked_for = {"identity_id": identity_id}
    async with aiohttp.ClientSession() as session, session.get(f"{url}{USERS_PATH}", params=asked_for) as response:
        found: dict[str, Any] = (await response.json()).get("data") or {}
        return next(iter(found.get("identities_list", ())), None)


async def events_of(running: Processes, kind: str = "stranger") -> list[Event]:
    """The events of a kind, read from the log; the site may run or not."""
    topic, events = running.settings.topics.events, list[Event]()
    async with open_broker(running.settings, "guest") as log:
        ends = await log.end_offsets(topic)
        async with log.reader(topic, Start.EARLIEST) as reader:
            while any(reader.positions()[partition] < end for partition, end in ends.items()):
                events += [decode_event(record.value or b"") for record in await reader.fetch(1000, 0.2)]
    return [event for event in events if event.kind == kind]


async def followed(running: Processes, *match_ids: str) -> list[Event]:
    """The events of the strangers of these matches, as soon as each has one."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found = [event for event in await events_of(running) if event.match_id in match_ids]
            if {event.match_id for event in found} == set(match_ids):
                return found
            await asyncio.sleep(0.05)


async def enrolments_of_a_stranger(made: AbstractAsyncContextManager[Processes], tmp_path: Path) -> list[str]:
    """A stranger is seen several times at once, recognised, replayed, explained; return what came of each request."""
    async with made as running:
        await enrol(running.url, "7", 7)
        assert (await asked(running.url, photo(7)))[1]["retcode"] == "1"
        seen = await asyncio.gather(*(asked(running.url, photo(77, size=150 + n)) for n in range(6)))
        assert {answer["retcode"] for _, answer in seen} == {"0"}
        unknown = [match_id for match_id, answer in seen if not answer["identity_id"]]
        events = await followed(running, *unknown)
        assert len(events) == len(unknown)
        (enrolled,) = (event for event in events if event.outcome == "enrolled")
        who = enrolled.identity_id
        assert {event.identity_id for event in events} == {who}
        assert [event.want_action for event in events if event.want_action != "0"] == ["1001"]
        assert who != enrolled.match_id
        match_id, again = await asked(running.url, photo(77), need_register_photo=True)
        assert (again["retcode"], again["identity_id"], again["name"]) == ("0", who, "stranger")
        assert (again["identity_info"]["type"], bool(again["reg_pic"])) == (4, True)
        matches = {event.id: event for event in await events_of(running, "match")}
        assert (matches[match_id].outcome, matches[match_id].person_type) == ("known_stranger", 4)
        assert {event.outcome for event in matches.values() if event.identity_id == who} == {"known_stranger"}
        assert len(await events_of(running)) == len(unknown), "a recognised stranger is not enrolled again"
        for event_id, words in ((enrolled.id, "enrolled as"), (match_id, "of the type stranger")):
            explained = await at(running, "explain", event_id, "--json")
            told = json.loads(explained.out)
            assert (explained.status, told["alarm"]) == (0, False), told
            assert words in (await at(running, "explain", event_id)).out
        audited = await at(running, "audit", "--kind", "stranger", "--json")
        changes = [json.loads(line) for line in audited.out.splitlines()]
        assert {(one["actor"], one["role"]) for one in changes} == {("support_stranger of a match", "device")}
        listed = await at(running, "people", "list", "--type", "stranger", "--url", running.url)
        assert who in listed.out, listed
        await expect_no_difference(running, await recorded(running, tmp_path / "capture"))
        if running.settings.kafka_config is None:
            await erased(running, who, unknown)
        return [event.outcome for event in events]


async def erased(running: Processes, who: str, unknown: list[str]) -> None:
    """An erased stranger is erased with the pictures of the matches in which nobody knew the stranger."""
    done = await at(running, "people", "erase", who, "--yes", "--url", running.url, "--json")
    assert done.status == 0, done
    lines = [json.loads(line) for line in done.out.splitlines()]
    records = {line["topic"].rpartition(".")[2]: line["records"] for line in lines if line["what"] == "erased"}
    assert records["admin"] == len(unknown), "the picture in each request to enrol"
    assert records["requests"] == records["evidence"] == 6 + 1, "each match of the stranger"
    assert records["photos"] == 1
    assert await person_of(running.url, who) is None


async def test_whoever_is_enrolled_after_passing_by_as_a_stranger_passes(tmp_path: Path) -> None:
    async with embedded_site(tmp_path, **STRANGERS) as running:
        await enrol(running.url, "7", 7)
        match_id, _ = await asked(running.url, photo(77, size=150))
        (enrolled,) = await followed(running, match_id)
        await feature(running, "POST", "zz", like_face(77, 0.9))
        passed, answer = await asked(running.url, photo(77))
        assert (answer["retcode"], answer["identity_id"]) == ("1", "zz"), enrolled
        (event,) = (event for event in await events_of(running, "match") if event.id == passed)
        assert (event.outcome, event.identity_id) == ("matched", "zz")
        assert event.cosine == pytest.approx(0.9, abs=0.01), "the face of the stranger is nearer"
        told = json.loads((await at(running, "explain", passed, "--json")).out)
        assert told["alarm"] is False, told
        await expect_no_difference(running, await recorded(running, tmp_path / "capture"))


async def test_a_stranger_is_enrolled_once_and_recognised_the_next_time(tmp_path: Path) -> None:
    outcomes = await enrolments_of_a_stranger(embedded_site(tmp_path, **STRANGERS), tmp_path)
    assert sorted(outcomes) == ["enrolled"] + ["known"] * (len(outcomes) - 1)


async def test_a_stranger_is_enrolled_once_and_recognised_on_kafka(tmp_path: Path, kafka_bootstrap: str) -> None:
    outcomes = await enrolments_of_a_stranger(kafka_site(kafka_bootstrap, tmp_path, **STRANGERS), tmp_path)
    assert sorted(outcomes) == ["enrolled"] + ["known"] * (len(outcomes) - 1)


async def over_kills(made: AbstractAsyncContextManager[Processes]) -> tuple[list[str], list[str | None]]:
    """The processes are killed the moment that a match is answered, until a kill has come before the enrolment.

    Return the ids of the matches, and for each event of an enrolment the match that it names.
    """
    async with made as running:
        await enrol(running.url, "7", 7)
        matches: list[str] = []
        for number in range(MOST_ROUNDS):
            match_id, answer = await asked(running.url, photo(100 + number))
            await running.end()
            assert (answer["retcode"], answer["identity_id"]) == ("0", "")
            matches.append(match_id)
            before = [event for event in await events_of(running) if event.match_id == match_id]
            await running.start()
            (after,) = await followed(running, match_id)
            assert (after.outcome, after.want_action) == ("enrolled", "1001")
            assert (await asked(running.url, photo(100 + number)))[1]["identity_id"] == after.identity_id
            if not before:
                break
        else:
            pytest.fail(f"none of {MOST_ROUNDS} kills came between a match and the enrolment of its stranger")
        events = await events_of(running)
        for event in events:
            assert await person_of(running.url, event.identity_id) is not None, "nothing is lost"
        return matches, [event.match_id for event in events]


async def test_a_kill_between_the_match_and_the_enrolment_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    matches, enrolled = await over_kills(embedded_site(tmp_path, **STRANGERS))
    assert Counter(enrolled) == Counter(matches), "each exactly once"


@pytest.mark.timeout(600)
async def test_a_kill_between_the_match_and_the_enrolment_on_kafka(tmp_path: Path, kafka_bootstrap: str) -> None:
    matches, enrolled = await over_kills(kafka_site(kafka_bootstrap, tmp_path, **STRANGERS))
    assert Counter(enrolled) == Counter(matches), "each exactly once"


async def test_beyond_the_bound_the_oldest_stranger_leaves(tmp_path: Path) -> None:
    bound = {"PICTUREMATCH_MATCHING__MAX_STRANGERS": "3"}
    async with embedded_site(tmp_path, **STRANGERS, **bound) as running:
        await enrol(running.url, "7", 7)
        ids = []
        for number in range(5):
            match_id, _ = await asked(running.url, photo(100 + number))
            (event,) = await followed(running, match_id)
            ids.append(event.identity_id)
            assert event.identity_ids == tuple(ids[-4:-3])
            if number == 3:
                await running.restart()
        assert [await person_of(running.url, who) is not None for who in ids] == [False, False, True, True, True]
        assert (await asked(running.url, photo(7)))[1]["retcode"] == "1"
        assert (await asked(running.url, photo(100), support_stranger=False))[1]["identity_id"] == ""


async def test_uploads_tell_the_enrolment_by_its_action(tmp_path: Path) -> None:
    async with receiving() as receiver, site(tmp_path) as client:
        await upload_to(client, [receiver.url])
        configs = await client.set(SUPPORT_STRANGER_GROUP=True, STRANGER_GROUP_SIZE=50_000)
        assert configs["success_configs"] == ["STRANGER_GROUP_SIZE", "SUPPORT_STRANGER_GROUP"]
        picture = encoded(photo(77))
        match = {"device_ip": "10.0.0.1", "rgb_image_base64": picture, "compare_time": 1_700_000_000.25}
        await client.call("POST", MATCH_PATH, **match)
        await client.call("POST", MATCH_PATH, **match, support_stranger=True)
        uploads: list[dict[str, Any]] = [upload.json for upload in await got(receiver, 3)]
        known = await client.call("POST", MATCH_PATH, **match, support_stranger=True)
        uploads += [upload.json for upload in (await got(receiver, 4))[3:]]
        assert await stored(client, 1, kinds="stranger")
    assert [(one["want_action"], one["identity_name"], one["person_type"]) for one in uploads] == [
        ("0", "stranger", 4),
        ("0", "stranger", 4),
        ("1001", "stranger", 4),
        ("0", "stranger", 4),
    ]
    assert [one["identity_id"] for one in uploads] == ["", "", known["identity_id"], known["identity_id"]]
    assert known["identity_id"]
    enrolment = uploads[2]
    assert (enrolment["timestamp"], enrolment["identity_info"]) == (1_700_000_000_250, {})
    assert enrolment["spot_pic"] == picture
    assert enrolment["reg_pic"]
    assert enrolment["recognize_face"]
    assert enrolment["ep_info"]["ep_ip"] == "10.0.0.1"


async def stored(client: Client, count: int, **asked_for: str) -> list[dict[str, Any]]:
    """The events of the store, as soon as there are so many."""
    words = "&".join(f"{name}={value}" for name, value in asked_for.items())
    async with asyncio.timeout(PATIENCE_S):
        while len(found := (await client.call("GET", f"{EVENTS_PATH}?{words}"))["data"]) < count:  # noqa: ASYNC110 - the store tells nobody
            await asyncio.sleep(0.05)
    return list(found)


async def test_a_replay_and_a_retry_enrol_nobody_and_a_late_match_neither(tmp_path: Path) -> None:
    async with running(tmp_path, policy=Policy(enrol_strangers=True)) as system:
        anna = EnrolRequest(request_id="e", identity_id="anna", received_time_s=1.0, photo=photo(1))
        await system.send(anna)
        await system.wait_for(1)
        version = (await system.broker.end_offsets(TOPICS.people))[0]
        await until(lambda: system.people.version >= version, PATIENCE_S)
        for number, headers in enumerate(
            ({Headers.REPLAY_OF: b"m9"}, {Headers.RETRY_OF: b"m9"}, {Headers.DEADLINE_MS: b"1000"}, {})
        ):
            times = {"compare_time_s": 1.0, "received_time_s": 1.0}
            match = MatchRequest(
                request_id=f"m{number}", device_ip="10.0.0.1", picture=photo(77), support_stranger=True, **times
            )
            await system.send(match, **headers)
            await system.wait_for(2 + number)
        events = [event for event in await system.wait_for(6) if event["kind"] == "stranger"]
        assert [(event["match_id"], event["outcome"]) for event in events] == [("m3", "enrolled")]
        admin = await read_all(system.broker, TOPICS.admin)
        assert len(admin) == 2, "the enrolment of Anna, and of the stranger of the last match"
        assert dict(admin[1].headers).keys() == {Headers.REQUEST_ID, Headers.ACTOR}, "nobody waits for it"


async def test_no_receiver_that_acts_gets_a_stranger(tmp_path: Path) -> None:
    async with receiving() as door, embedded_site(tmp_path, **STRANGERS, **acting(tmp_path, door)) as running:
        await enrol(running.url, "7", 7)
        await asyncio.sleep(1.0)
        for picture in (photo(77), photo(7), photo(77), photo(78), photo(77), photo(7)):
            match_id, answer = await asked(running.url, picture)
            if answer["retcode"] == "0" and not answer["identity_id"]:
                await followed(running, match_id)
        async with asyncio.timeout(PATIENCE_S):
            while len(door.tried) < 2:  # noqa: ASYNC110 - the receiver tells nobody
                await asyncio.sleep(0.05)
        await asyncio.sleep(1.0)
        outcomes = Counter(event.outcome for event in await events_of(running, "match"))
    opened = [orjson.loads(upload.body)["data"] for upload in door.tried]
    assert [(one["kind"], one["outcome"], one["identity_id"]) for one in opened] == [("match", "matched", "7")] * 2
    assert outcomes == {"matched": 2, "stranger": 2, "known_stranger": 2}


def acting(folder: Path, door: Receiver) -> dict[str, str]:
    """The settings of a site with a receiver that opens a door."""
    config = folder / "door.toml"
    config.write_text(f'[[sinks]]\nkind = "webhook"\nname = "door"\nurl = "{door.url}"\nacts = true\n')
    return {"PICTUREMATCH_CONFIG": str(config)}
