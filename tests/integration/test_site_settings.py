"""Settings of the site through whole systems: in force for the next match, pinned by the operator, in evidence."""

import asyncio
import base64
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from broker.port import Record, Start
from contract.evidence import Evidence, decode_evidence
from contract.http import (
    CONFIGS_PATH,
    DEVICES_PATH,
    HISTORY_EVENT_URL_PATH,
    MATCH_PATH,
    PRETTY_SCORE_PATH,
    USERS_PATH,
    V6_PATH,
    WIPE_DATA_PATH,
)
from contract.topics import Topics
from engine.policy import Policy
from picturematch.settings import load_settings, settings_sources
from picturematch.system import System
from picturematch.wiring import run_system
from processor.configs import policy_config
from tests.integration.test_processor import read_all
from tests.integration.test_roles_on_kafka import create_topics, environment
from tests.support.faces import MODELS, photo


class Client:
    """A client of one server."""

    def __init__(self, system: System, session: aiohttp.ClientSession) -> None:
        self.system, self._session = system, session

    async def call(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        async with self._session.request(method, self.system.url + path, json=body or None) as response:
            found: dict[str, Any] = await response.json()
            return found

    async def set(self, **values: Any) -> dict[str, Any]:
        found: dict[str, Any] = (await self.call("PUT", CONFIGS_PATH, config_dict=values))["data"]
        return found

    async def configs(self) -> dict[str, Any]:
        found: dict[str, Any] = (await self.call("GET", CONFIGS_PATH))["data"]
        return found

    async def enrol(self, identity_id: str, seed: int, size: int = 160, **fields: Any) -> dict[str, Any]:
        picture = base64.b64encode(photo(seed, size)).decode()
        return await self.call("POST", USERS_PATH, identity_id=identity_id, reg_photo=picture, info={}, **fields)

    async def match(self, seed: int) -> dict[str, Any]:
        picture = base64.b64encode(photo(seed)).decode()
        return await self.call("POST", MATCH_PATH, device_ip="10.0.0.1", rgb_image_base64=picture)


def embedded(folder: Path, **more: str) -> dict[str, str]:
    return {
        "PICTUREMATCH_DATA_FOLDER": str(folder),
        "PICTUREMATCH_INGEST__PORT": "0",
        "PICTUREMATCH_MODELS__KIND": "stand-in",
        "PICTUREMATCH_MATCHING__SCORE_SCALE": "percent",
        **more,
    }


@asynccontextmanager
async def serving(given: Mapping[str, str]) -> AsyncIterator[Client]:
    """One process with both roles, as `picturematch serve` starts it with these variables."""
    pinned = frozenset(settings_sources(None, given, {}))
    async with (
        run_system(load_settings(None, given), MODELS, pinned=pinned) as system,
        aiohttp.ClientSession() as session,
    ):
        yield Client(system, session)


async def kept_evidence(system: System) -> tuple[list[Evidence], dict[bytes | None, Any]]:
    records = await read_all(system.broker, Topics().evidence)
    evidence = sorted((decode_evidence(record.value or b"") for record in records), key=lambda each: each.decided_time)
    configs = {record.key: record.value for record in await read_all(system.broker, Topics().configs)}
    return evidence, {key: orjson.loads(value) for key, value in configs.items() if value is not None}


async def test_a_change_is_in_force_for_the_next_match(tmp_path: Path) -> None:
    async with serving(embedded(tmp_path)) as client:
        await client.enrol("anna", 1)
        stranger = await client.match(50)
        assert stranger["retcode"] == "0"
        for _ in range(5):
            low = stranger["score"] / 2
            assert (await client.set(THRESHOLD=low))["success_configs"] == ["THRESHOLD"]
            found = await client.match(50)
            assert (found["retcode"], found["score"]) == ("1", stranger["score"]), "as the score says, whoever it is"
            assert (await client.set(THRESHOLD=None))["success_configs"] == ["THRESHOLD"]
            assert (await client.match(50))["retcode"] == "0"


async def test_the_scale_of_scores_is_changed_by_pretty_score(tmp_path: Path) -> None:
    async with serving(embedded(tmp_path)) as client:
        await client.enrol("anna", 1)
        before = (await client.match(50))["score"]
        reply = await client.call("PUT", PRETTY_SCORE_PATH, threshold_range=[0, 41, 100])
        assert reply == {"data": {"threshold_range": [0.0, 41.0, 100.0]}}
        assert (await client.match(50))["score"] == pytest.approx(before / 2, abs=1e-3)
        assert (await client.configs())["THRESHOLD_RANGE"] == "0.0,41.0,100.0"
        assert await client.call("GET", PRETTY_SCORE_PATH) == reply


async def test_evidence_names_the_policy_that_was_in_force_and_its_record_is_in_the_log(tmp_path: Path) -> None:
    async with serving(embedded(tmp_path)) as client:
        await client.enrol("anna", 1)
        for values in ({}, {"THRESHOLD": 90}, {"THRESHOLD": 95}, {"THRESHOLD": 90}):
            if values:
                await client.set(**values)
            await client.match(1)
        evidence, configs = await kept_evidence(client.system)
        named = [configs[f"policy/{each.policy}".encode()] for each in evidence]
    assert [policy["accepted_score"] for policy in named] == [None, 90.0, 95.0, 90.0]
    assert evidence[1].policy == evidence[3].policy != evidence[0].policy
    assert evidence[1].threshold < evidence[2].threshold


async def test_settings_survive_a_restart_and_a_pin_suspends_them(tmp_path: Path) -> None:
    async with serving(embedded(tmp_path)) as client:
        await client.set(DEFAULT_GROUP_SIZE=1, THRESHOLD=90)
        await client.enrol("anna", 1)
        assert (await client.enrol("bert", 2))["error"]["code"] == 40015
    async with serving(embedded(tmp_path, PICTUREMATCH_MATCHING__MAX_PEOPLE="100000")) as client:
        configs = await client.configs()
        assert (configs["DEFAULT_GROUP_SIZE"], configs["THRESHOLD"]) == (100_000, 90.0)
        failed = await client.set(DEFAULT_GROUP_SIZE=5, REG_MIN_FACE=20)
        assert (failed["success_configs"], failed["failed_configs"]) == (["REG_MIN_FACE"], ["DEFAULT_GROUP_SIZE"])
        assert "matching.max_people" in failed["reasons"]["DEFAULT_GROUP_SIZE"], "a default that is given is pinned too"
        assert "data" in await client.enrol("bert", 2)
        await client.match(1)
        evidence, configs = await kept_evidence(client.system)
        policy = configs[f"policy/{evidence[-1].policy}".encode()]
        assert (policy["max_people"], policy["accepted_score"], policy["min_face_size"]) == (100_000, 90.0, 20)
    async with serving(embedded(tmp_path)) as client:
        assert (await client.configs())["DEFAULT_GROUP_SIZE"] == 1
        assert (await client.enrol("cara", 3))["error"]["code"] == 40015


async def test_a_pinned_setting_among_others_of_version_6_leaves_every_one_as_it_was(tmp_path: Path) -> None:
    pinned = embedded(tmp_path, PICTUREMATCH_MATCHING__ACCEPTED_SCORE="90")
    async with serving(pinned) as client:
        sent = {"HISTORY_REPORT_PEROID": 7, "MATCH_THRESHOLD": 85, "GATE_DUPLICATE_REMOVAL_TIMEOUT": 6}
        before = await client.configs()
        reply = await client.call("POST", f"{V6_PATH}/setconfigs", config_dict=sent)
        assert reply["error"]["code"] == "CONFIG_ITEM_FAIL"
        assert reply["error"]["message"].startswith("MATCH_THRESHOLD cannot be set: ")
        assert await client.configs() == before
        del sent["MATCH_THRESHOLD"]
        assert await client.call("POST", f"{V6_PATH}/setconfigs", config_dict=sent) == sent
        assert (await client.configs())["REPORTED_PEROID"] == 7


async def test_a_pinned_range_refuses_pretty_score_by_name(tmp_path: Path) -> None:
    async with serving(embedded(tmp_path, PICTUREMATCH_MATCHING__SCORE_RANGE="[0, 82, 100]")) as client:
        refused = await client.call("PUT", PRETTY_SCORE_PATH, threshold_range=[0, 80, 100])
        assert refused["error"]["code"] == 40091
        assert "matching.score_range" in refused["error"]["message"]


async def test_the_level_of_enrolments_is_in_force_for_the_next_one(tmp_path: Path) -> None:
    async with serving(embedded(tmp_path)) as client:
        assert "data" in await client.enrol("anna", 1)
        await client.set(FIQA_LEVEL="high")
        refused = await client.enrol("bert", 2, size=90)
        assert refused["error"]["code"] == 40009, "at the level high a face has more than 112 pixels"
        await client.set(FIQA_LEVEL=None)
        assert "data" in await client.enrol("bert", 2, size=90)


async def test_the_receivers_are_shown_by_both_calls(tmp_path: Path) -> None:
    async with serving(embedded(tmp_path)) as client:
        url = "http://192.168.1.100:9828/x"
        await client.call(
            "POST",
            HISTORY_EVENT_URL_PATH,
            **{"history_upload_event_url": [url], "content-type": "json"},
            reported_peroid=7,
        )
        assert (await client.set(HISTORY_EVENT_NEED_SPOT_PIC=False))["failed_configs"] == []
        shown = (await client.call("GET", HISTORY_EVENT_URL_PATH))["data"]
        assert (shown["history_upload_event_url"], shown["reported_peroid"]) == ([url], 7)
        assert (shown["history_need_reg_pic"], shown["history_need_spot_pic"]) == (True, False)
        assert (await client.configs())["HISTORY_UPLOAD_EVENT_URL"] == url


async def test_administrators_at_once_leave_what_one_order_of_their_calls_would(tmp_path: Path) -> None:
    async with serving(embedded(tmp_path)) as client:
        await asyncio.gather(
            *(client.set(THRESHOLD_RANGE=[0, high - 10, high], THRESHOLD=high - 5) for high in range(50, 90, 4)),
            *(client.set(THRESHOLD=score) for score in range(30, 99, 7)),
            *(client.set(REPORTED_PEROID=seconds) for seconds in range(1, 9)),
        )
        configs = await client.configs()
        low, _, high = map(float, configs["THRESHOLD_RANGE"].split(","))
        assert low < configs["THRESHOLD"] < high
        assert configs["REPORTED_PEROID"] in range(1, 9)


async def test_a_wipe_deletes_everybody_and_the_server_goes_on(tmp_path: Path) -> None:
    async with serving(embedded(tmp_path)) as client:
        await asyncio.gather(*(client.enrol(f"p{number}", number) for number in range(8)))
        door = {"device_name": "door", "device_key": "10.0.0.1", "device_type": "photo", "group_id": "default_group"}
        await client.call("POST", DEVICES_PATH, devices_list=[{**door, "permission_id": "0"}])
        assert (await client.match(3))["identity_id"] == "p3"
        wiped = await client.call("POST", WIPE_DATA_PATH, wipe_options={"users": True})
        assert wiped["data"] == {"wipe_options": {"users": True}, "people_deleted": 8, "devices_deleted": 1}
        assert (await client.match(3))["error"]["code"] == 40008, "nobody is enrolled"
        assert (await client.call("GET", USERS_PATH))["data"]["identities_list"] == []
        assert (await client.call("GET", DEVICES_PATH))["data"]["devices_list"] == []
        people = await read_all(client.system.broker, Topics().people)
        photos = await read_all(client.system.broker, Topics().photos)
        assert {record.key for record in people if record.value is None} >= {b"person/p%d" % n for n in range(8)}
        assert {record.key for record in photos if record.value is None} == {b"photo/p%d/0" % n for n in range(8)}
        assert "data" in await client.enrol("p3", 3)
        assert (await client.match(3))["identity_id"] == "p3"


async def until_shown(client: Client, name: str, value: Any) -> None:
    """Wait until a server shows the value; another one has set it."""
    async with asyncio.timeout(20):
        shown = None
        while shown != value:
            shown = (await client.configs())[name]


async def first_records(system: System, topic: str, count: int) -> list[Record]:
    async with asyncio.timeout(20), system.broker.reader(topic, Start.EARLIEST) as reader:
        records: list[Record] = []
        while len(records) < count:
            records += await reader.fetch(1000)
        return records


async def test_on_kafka_every_role_follows_a_change(kafka_bootstrap: str) -> None:
    given = {**environment(kafka_bootstrap), "PICTUREMATCH_MATCHING__SCORE_SCALE": "percent"}
    await create_topics(given)
    settings = load_settings(None, given)
    async with (
        run_system(settings, MODELS, ingest=False) as processor,
        run_system(settings, None) as first,
        run_system(settings, None) as second,
        aiohttp.ClientSession() as session,
    ):
        here, there = Client(first, session), Client(second, session)
        await here.enrol("anna", 1)
        stranger = await here.match(50)
        low = stranger["score"] / 2
        assert (await here.set(THRESHOLD=low))["success_configs"] == ["THRESHOLD"]
        assert (await here.match(50))["retcode"] == "1"
        await until_shown(there, "THRESHOLD", low)
        assert (await there.match(50))["retcode"] == "1"
        expected = policy_config(Policy(score_scale="percent", accepted_score=low))
        configs = await first_records(processor, settings.topics.configs, 4)
        assert expected.key in {record.key for record in configs}
        evidence = await first_records(processor, settings.topics.evidence, 3)
        assert expected.id in {decode_evidence(record.value or b"").policy for record in evidence}
        wiped = await here.call("POST", WIPE_DATA_PATH, wipe_options={"users": True})
        assert wiped["data"]["people_deleted"] == 1
        assert (await here.match(1))["error"]["code"] == 40008
