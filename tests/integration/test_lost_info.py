"""A person's whole info that cannot be read any more: administration goes on, and says how to repair it."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from broker.port import BrokerUnavailable, Position, Record
from contract.errors import Code
from contract.people.keys import person_key
from contract.people.records import PersonRecord
from contract.requests import DeleteRequest, EnrolRequest, Headers
from contract.site_requests import EmbeddedFace, GroupRequest, MembersRequest, ReembedRequest
from tests.integration.test_processor import TOPICS, enrol, match, read_all, running
from tests.support.faces import photo
from tests.support.waiting import until

WITHOUT_DEADLINE = {Headers.DEADLINE_MS: b""}
Fault = Callable[[Record | None], Record | None]


def damaged(record: Record | None) -> Record | None:
    return None if record is None else replace(record, value=None, damaged=True)


def of_another_key(record: Record | None) -> Record | None:
    return None if record is None else replace(record, key=b"person/bert")


def no_person(record: Record | None) -> Record | None:
    return None if record is None else replace(record, value=b"\xc1")


FAULTS = [lambda record: None, damaged, of_another_key, no_person]


class Faulty:
    """A log whose records of the people topic are found by position only as `fault` leaves them."""

    def __init__(self, broker: Any) -> None:
        self._broker = broker
        self.fault: Fault = lambda record: record

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)

    async def read_at(self, position: Position) -> Record | None:
        record = await self._broker.read_at(position)
        return self.fault(record) if position.topic == TOPICS.people else record


class Logs:
    def __call__(self, broker: Any) -> Faulty:
        self.log = Faulty(broker)
        return self.log


def change(request_id: str, **fields: Any) -> EnrolRequest:
    return EnrolRequest(request_id=request_id, identity_id="anna", received_time_s=6.0, update=True, **fields)


def members(request_id: str, *who: str) -> MembersRequest:
    return MembersRequest(
        request_id=request_id, received_time_s=6.0, group_name="staff", action="add", identity_ids=who
    )


def delete(request_id: str, identity_id: str) -> DeleteRequest:
    return DeleteRequest(request_id=request_id, identity_id=identity_id, received_time_s=6.0)


OTHER = "other-embedder-r1"


def other_embedding(identity_id: str, seed: int) -> EmbeddedFace:
    """The templates that another embedder has computed from the photo of `enrol`."""
    vector = np.eye(1, 16, seed, dtype="<f4").tobytes()
    sha256 = hashlib.sha256(photo(seed)).digest()
    return EmbeddedFace(identity_id=identity_id, number=0, photo_sha256=sha256, templates={"whole": vector})


async def stored(system: Any, identity_id: str) -> PersonRecord:
    """The newest record of a person, as the topic contains it."""
    records = [r for r in await read_all(system.broker, TOPICS.people) if r.key == person_key(identity_id)]
    person: PersonRecord = msgspec.msgpack.decode(records[-1].value, type=PersonRecord)
    return person


async def prepared(system: Any) -> None:
    staff = GroupRequest(request_id="g", received_time_s=6.0, action="create", name="staff")
    await system.send(
        enrol("e1", "anna", 1, info={"name": "Anna", "room": 7}), enrol("e2", "bert", 2, info={"room": 8}), staff
    )
    await system.wait_for(3)
    await until(lambda: len(system.people) == 2)


@pytest.mark.parametrize("fault", FAULTS, ids=["gone", "damaged", "of another key", "no person"])
async def test_a_change_that_keeps_a_lost_info_is_refused_and_holds_nothing_up(tmp_path: Path, fault: Fault) -> None:
    logs = Logs()
    async with running(tmp_path, wrap=logs) as system:
        await prepared(system)
        logs.log.fault = fault
        await system.send(members("m", "anna"), change("c"), **WITHOUT_DEADLINE)
        await system.send(enrol("e3", "cara", 3))
        events = {event["id"]: event for event in await system.wait_for(6)}
        assert events["e3"]["outcome"] == "enrolled"
        for request_id in ("m", "c"):
            error = events[request_id]["error"]
            assert error["code"] == Code.OVERLOADED
            assert "anna" in error["message"]
            assert "PUT the person's whole info again" in error["message"]
        assert len(await read_all(system.broker, TOPICS.dead_letters)) == 2, "both can be sent again after the repair"
        logs.log.fault = lambda record: record
        assert (await stored(system, "anna")).info["room"] == 7, "nothing was written over it"


async def test_a_change_with_an_info_repairs_and_so_do_a_deletion_and_another_enrolment(tmp_path: Path) -> None:
    logs = Logs()
    async with running(tmp_path, wrap=logs) as system:
        await prepared(system)
        logs.log.fault = lambda record: None
        await system.send(change("c", info={"room": 9}), members("m", "anna"), delete("d", "bert"))
        await system.send(enrol("e3", "bert", 2, info={"room": 10}))
        events = {event["id"]: event for event in await system.wait_for(7)}
        assert [events[i]["outcome"] for i in ("c", "m", "d", "e3")] == ["updated", "changed", "deleted", "enrolled"]
        anna = await stored(system, "anna")
        assert anna.info == {"name": "Anna", "room": 9, "type": 1, "permission_ids": ["0"]}
        assert len(anna.group_ids) == 2
        assert (await stored(system, "bert")).info["room"] == 10


async def test_an_enrolment_is_not_taken_for_a_repetition_where_the_info_is_lost(tmp_path: Path) -> None:
    logs = Logs()
    async with running(tmp_path, wrap=logs) as system:
        await prepared(system)
        logs.log.fault = lambda record: None
        await system.send(enrol("e3", "anna", 1, info={"name": "Anna"}))
        await system.send(enrol("e4", "anna", 1, info={"name": "Anna"}, ignore_exist=True))
        events = {event["id"]: event for event in await system.wait_for(5)}
        assert events["e3"]["error"]["code"] == Code.IDENTITY_EXSIT_ERROR
        assert events["e4"]["outcome"] == "updated"


async def test_embeddings_of_another_embedder_need_no_info_and_go_with_the_person(tmp_path: Path) -> None:
    logs = Logs()
    async with running(tmp_path, wrap=logs) as system:
        await prepared(system)
        logs.log.fault = damaged
        faces = tuple(other_embedding(who, seed) for who, seed in (("anna", 1), ("bert", 2)))
        await system.send(
            ReembedRequest(request_id="r", received_time_s=6.0, action="add", embedder=OTHER, faces=faces),
            delete("d", "bert"),
        )
        events = {event["id"]: event for event in await system.wait_for(5)}
        assert (events["r"]["outcome"], events["r"]["identity_ids"]) == ("changed", ["anna", "bert"])
        await until(lambda: len(system.people) == 1)
        assert OTHER in system.people.embedders("anna", 0)
        assert system.people.keys_of("bert") == [person_key("bert")]
        logs.log.fault = lambda record: record
        assert (await stored(system, "anna")).info["room"] == 7, "the record of the person was not written"


async def test_of_a_lost_info_a_match_gives_what_is_in_memory(tmp_path: Path) -> None:
    logs = Logs()
    async with running(tmp_path, wrap=logs) as system:
        await prepared(system)
        logs.log.fault = lambda record: None
        await system.send(match(1))
        await system.wait_for(4)
        answer = system.replies["m1"].answer
        assert (answer.identity_id, answer.identity_info["name"]) == ("anna", "Anna")
        assert "room" not in answer.identity_info


async def test_while_the_log_cannot_be_read_the_lane_tries_again_and_refuses_nothing(tmp_path: Path) -> None:
    logs, failures = Logs(), 0

    def unavailable(record: Record | None) -> Record | None:
        nonlocal failures
        failures += 1
        raise BrokerUnavailable("the log cannot be reached")

    async with running(tmp_path, wrap=logs) as system:
        await prepared(system)
        logs.log.fault = unavailable
        await system.send(members("m", "anna", "bert"), **WITHOUT_DEADLINE)
        await until(lambda: failures >= 3)
        logs.log.fault = lambda record: record
        events = {event["id"]: event for event in await system.wait_for(4)}
        assert events["m"]["outcome"] == "changed"
        assert [(await stored(system, who)).info["room"] for who in ("anna", "bert")] == [7, 8]
