"""API keys with several ingresses on a real Kafka broker: what one creates or deletes counts at the other."""

import asyncio
import time

import aiohttp

from contract.audit import ChangeRecord, RefusedKeysRecord, decode_audit
from contract.http import KEYS_PATH, USERS_PATH
from picturematch.settings import load_settings
from picturematch.system import System
from picturematch.wiring import run_system
from tests.integration.test_roles_on_kafka import create_topics, environment, roles

AWAY = {"PICTUREMATCH_INGEST__TRUSTED_NETWORKS": "[]"}
"""Settings of an ingress to which this machine is beyond the trusted networks."""


async def status_of(session: aiohttp.ClientSession, key: str) -> int:
    async with session.get(USERS_PATH, headers={"X-API-Key": key}) as response:
        return response.status


async def seconds_until(session: aiohttp.ClientSession, key: str, status: int) -> float:
    """How long it takes until a call with the key is answered with that status."""
    began = time.monotonic()
    async with asyncio.timeout(10):
        while await status_of(session, key) != status:  # noqa: ASYNC110 - the other ingress gives no sign
            await asyncio.sleep(0.005)
    return time.monotonic() - began


async def audit_of(system: System, topic: str) -> list[ChangeRecord | RefusedKeysRecord]:
    found: list[ChangeRecord | RefusedKeysRecord] = []
    async with system.broker.reader(topic) as reader:
        while records := await reader.fetch(timeout_s=2):
            found += [decode_audit(record.value or b"") for record in records]
    return found


async def test_a_key_is_in_force_and_refused_at_every_ingress_and_audited_in_one_topic(kafka_bootstrap):
    given = environment(kafka_bootstrap)
    await create_topics(given)
    async with roles(given) as (ingress, _, administrator):
        async with (
            run_system(load_settings(None, {**given, **AWAY}), None) as other,
            aiohttp.ClientSession(other.url) as elsewhere,
        ):
            for number in range(3):
                body = {"name": f"office-{number}", "role": "operator"}
                async with administrator.post(KEYS_PATH, json=body) as created:
                    assert created.status == 200
                    key = (await created.json())["data"]["key"]
                assert await seconds_until(elsewhere, key, 200) < 3
                person = {"identity_id": f"p{number}", "need_bring_pic": False}
                async with elsewhere.post(USERS_PATH, json=person, headers={"X-API-Key": key}) as enrolled:
                    assert enrolled.status == 200
                async with administrator.delete(KEYS_PATH, json={"name": body["name"]}) as deleted:
                    assert deleted.status == 200
                assert await status_of(administrator, key) == 401, "the ingress that answered refuses it at once"
                assert await seconds_until(elsewhere, key, 401) < 3
        records = await audit_of(ingress, load_settings(None, given).topics.audit)
        changes = [(one.actor, one.kind, one.objects) for one in records if isinstance(one, ChangeRecord)]
        expected = []
        for number in range(3):
            name = (f"office-{number}",)
            expected += [("trusted network", "key", name), (*name, "enrol", (f"p{number}",))]
            expected += [("trusted network", "key", name)]
        assert changes == expected
        assert any(one.counts.get("wrong") for one in records if isinstance(one, RefusedKeysRecord))
