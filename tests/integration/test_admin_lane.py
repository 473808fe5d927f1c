"""Requests about people: decided in the order of the log and committed together, whatever the others come to."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from broker.embedded import open_embedded
from contract.errors import Code
from contract.people.records import FaceRecord, photo_of
from contract.requests import DeleteRequest, Headers, Request
from contract.site_requests import SettingsRequest
from contract.topics import Topics
from engine.policy import Policy
from picturematch.settings import LogSettings
from tests.integration.test_processor import as_reply, enrol, match, read_all, record_of, running
from tests.support.faces import photo
from tests.support.waiting import until

TOPICS = Topics()


async def accepted(folder: Path, requests: Sequence[Request]) -> None:
    """Append the requests before a processor runs, so that the processor takes them together."""
    async with open_embedded(folder, role="owner", clock_ms=lambda: int(time.time() * 1000)) as log:
        await log.ensure_topics(LogSettings(request_partitions=3).topic_specs(TOPICS))
        await log.append([record_of(request) for request in requests])


def delete(request_id: str, identity_id: str) -> DeleteRequest:
    return DeleteRequest(request_id=request_id, identity_id=identity_id, received_time_s=1.0)


async def test_the_limit_of_people_holds_within_one_transaction(tmp_path: Path) -> None:
    await accepted(tmp_path, [enrol(f"e{n}", f"p{n}", n) for n in range(12)])
    async with running(tmp_path, policy=Policy(max_people=5)) as system:
        events = {event["id"]: event for event in await system.wait_for(12)}
        assert [events[f"e{n}"]["outcome"] for n in range(12)] == ["enrolled"] * 5 + ["refused"] * 7
        assert events["e11"]["error"]["code"] == Code.GROUP_LEN_ERROR
        await until(lambda: len(system.people) == 5)


async def test_each_answer_names_the_version_that_has_its_own_records(tmp_path: Path) -> None:
    await accepted(tmp_path, [enrol(f"e{n}", f"p{n % 3}", n % 3) for n in range(6)])
    async with running(tmp_path) as system:
        await system.wait_for(6)
        replies = {reply.request_id: reply for reply in map(as_reply, await read_all(system.broker, TOPICS.replies))}
        written = await read_all(system.broker, TOPICS.people)
        for number in range(3):
            last = max(record.offset for record in written if b"/p%d" % number in (record.key or b""))
            assert replies[f"e{number}"].gallery_version == last + 1
            assert replies[f"e{number + 3}"].gallery_version >= last + 1, "a repetition is true of what it repeats"


async def test_what_one_transaction_enrols_deletes_and_enrols_again_is_as_if_each_had_its_own(tmp_path: Path) -> None:
    requests: list[Request] = [enrol("e1", "anna", 1), enrol("again", "anna", 2), delete("d1", "anna")]
    requests += [delete("d2", "anna"), enrol("e2", "anna", 2), enrol("e3", "bert", 3)]
    await accepted(tmp_path, requests)
    async with running(tmp_path) as system:
        events = {event["id"]: event for event in await system.wait_for(6)}
        outcomes = [events[request.request_id]["outcome"] for request in requests]
        assert outcomes == ["enrolled", "refused", "deleted", "refused", "enrolled", "enrolled"]
        assert (events["again"]["error"]["code"], events["d2"]["error"]["code"]) == (
            Code.IDENTITY_EXSIT_ERROR,
            Code.ID_NOT_FOUND,
        )
        version = str(system.replies["e3"].gallery_version).encode()
        asked = (match(2, seed=2, need_register_photo=True), match(1, seed=1))
        await system.send(*asked, **{Headers.GALLERY_VERSION: version})
        await system.wait_for(8)
        shown = system.replies["m2"].answer
        assert (shown.identity_id, shown.reg_pic) == ("anna", photo(2))
        assert system.replies["m1"].answer.retcode == "0"


async def test_a_deleted_persons_photos_are_deleted_and_a_replaced_faces_too(tmp_path: Path) -> None:
    async with running(tmp_path) as system:
        await system.send(enrol("e1", "anna", 1), enrol("e2", "bert", 2))
        await system.send(enrol("e3", "bert", 3, ignore_exist=True, support_single_face=True), delete("d1", "anna"))
        await system.wait_for(4)
        latest = {record.key: record for record in await read_all(system.broker, TOPICS.photos)}
        assert {key: record.value is None for key, record in latest.items()} == {
            b"photo/anna/0": True,
            b"photo/bert/0": True,
            b"photo/bert/1": False,
        }


@pytest.mark.parametrize("together", [True, False])
async def test_a_face_names_the_place_where_its_photo_was_written(tmp_path: Path, together: bool) -> None:
    requests = [enrol(f"e{n}", f"p{n}", n) for n in range(6)]
    if together:
        await accepted(tmp_path, requests)
    async with running(tmp_path) as system:
        for request in () if together else requests:
            await system.send(request)
        await system.wait_for(6)
        photos = {record.position: record for record in await read_all(system.broker, TOPICS.photos)}
        faces = [record for record in await read_all(system.broker, TOPICS.people) if record.key.startswith(b"face/")]
        assert len(faces) == 6
        for record in faces:
            face = msgspec.msgpack.decode(record.value, type=FaceRecord)
            place = next(p for p in photos if (p.partition, p.offset) == (face.photo.partition, face.photo.offset))
            assert photos[place].key == f"photo/{face.identity_id}/0".encode()
            assert photo_of(photos[place].value, face.photo) == photo(int(face.identity_id[1:]))


async def test_a_request_in_the_wrong_topic_is_a_dead_letter(tmp_path: Path) -> None:
    async with running(tmp_path) as system:
        records = [record_of(enrol("e1", "anna", 1)), record_of(match(1))]
        swapped = {TOPICS.admin: TOPICS.requests, TOPICS.requests: TOPICS.admin}
        await system.broker.append([replace(record, topic=swapped[record.topic]) for record in records])
        events = {event["id"]: event for event in await system.wait_for(2)}
        assert {event["kind"] for event in events.values()} == {"unreadable"}
        assert len(await read_all(system.broker, TOPICS.dead_letters)) == 2
        assert len(system.people) == 0


async def test_a_face_is_prepared_under_the_settings_that_its_sender_knows_of(tmp_path: Path) -> None:
    def small(request_id: str, identity_id: str, seed: int) -> Request:
        return msgspec.structs.replace(enrol(request_id, identity_id, seed), photo=photo(seed, 90))

    async with running(tmp_path) as system:
        await system.send(small("e1", "anna", 1))
        await system.wait_for(1)
        strict = SettingsRequest(request_id="s1", received_time_s=1.0, values={"FIQA_LEVEL": "high"})
        await system.send(strict)
        await system.wait_for(2)
        known = b"%d" % system.replies["s1"].gallery_version
        await system.send(small("e2", "bert", 2), **{Headers.GALLERY_VERSION: known})
        await system.send(small("e3", "cara", 3), **{Headers.GALLERY_VERSION: b"999999"})
        events = {event["id"]: event for event in await system.wait_for(4)}
        assert (events["s1"]["outcome"], events["s1"]["name"]) == ("changed", "FIQA_LEVEL")
        assert events["e2"]["error"]["code"] == Code.ENROLL_FACE_SIZE_NOT_ENOUGH_ERROR
        assert events["e3"]["error"]["code"] == Code.OVERLOADED, "its sender knows more than this processor has read"
