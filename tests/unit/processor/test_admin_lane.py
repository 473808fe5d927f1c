"""What requests about people that are decided in one transaction know of each other."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any

import msgspec
import numpy as np
import pytest
from msgspec import structs

from broker.port import Record
from contract.codec import encode
from contract.events import Event, decode_event
from contract.people.keys import face_key, parse_key
from contract.people.records import COVERED_FACE, WHOLE_FACE, FaceRecord
from contract.requests import EnrolRequest, Request
from contract.site_requests import EmbeddedFace, ReembedRequest, SettingsRequest
from contract.topics import Topics
from engine.context import Contexts
from engine.gallery.people import People
from engine.policy import Policy
from processor.admin_lane import AdminCommits
from processor.configs import policy_config
from processor.lane_events import Commit
from processor.outputs import Emitter, Ids
from processor.people import PeopleAccess
from processor.pool import MatchingPool
from processor.processing import Processing
from tests.support.commits import Member
from tests.support.covered import COVERED_MODELS
from tests.support.faces import MODELS, context, photo

TOPICS = Topics()
OTHER, IN_USE = "other-embedder-r1", MODELS.embedder_identity
FIRST = 40
"""The offset of the first photo of each transaction."""


class Log:
    async def end_offsets(self, topic: str) -> dict[int, int]:
        return {0: 0}


async def reached(version: int, timeout_s: float) -> bool:
    return True


class AdminLane:
    """An admin lane whose transactions are kept; requests are processed by its processing as in a processor."""

    def __init__(self, processing: Processing, commits: AdminCommits, member: Member) -> None:
        self._processing, self._commits, self._member = processing, commits, member

    async def write(self, *requests: Request) -> None:
        """Process the requests, each before any of them is decided, and decide them in one transaction."""
        records = [
            Record(TOPICS.admin, 0, number, 0, request.key, encode(request)) for number, request in enumerate(requests)
        ]
        batch = [await self._processing(record) for record in records]
        await self._commits.write(Commit(tuple(range(len(batch)))), batch)

    @property
    def faces(self) -> dict[bytes, FaceRecord]:
        """The last record of each face that was written."""
        written = [new for new in self._member.written if new.topic == TOPICS.people and new.value is not None]
        return {
            new.key: msgspec.msgpack.decode(new.value or b"", type=FaceRecord)
            for new in written
            if new.key is not None and hasattr(parse_key(new.key), "embedder")
        }

    @property
    def events(self) -> Sequence[Event]:
        return [decode_event(new.value or b"") for new in self._member.written if new.topic == TOPICS.events]


@asynccontextmanager
async def admin_lane(policy: Policy | None = None, models: Any = MODELS) -> AsyncIterator[AdminLane]:
    people, member, pool = People(MODELS.embedder.dimension, IN_USE), Member(FIRST), MatchingPool(1)
    contexts = Contexts(context(policy, models))
    access = PeopleAccess(Log(), TOPICS.people, None, people, reached)  # type: ignore[arg-type]
    processing = Processing(
        *(access, contexts, pool, lambda: 2.0), replies_topic=TOPICS.replies, gallery_wait_s=1.0, administrative=True
    )
    emitter = Emitter(TOPICS, contexts, Ids({}, "m"), "/test", lambda: 2.0)
    try:
        yield AdminLane(processing, AdminCommits(0, member, processing, emitter, access), member)  # type: ignore[arg-type]
    finally:
        pool.shutdown()


def enrol(identity_id: str, seed: int, **fields: Any) -> EnrolRequest:
    fields = {"photo": photo(seed)} | fields
    return EnrolRequest(request_id=f"e{seed}", identity_id=identity_id, received_time_s=1.0, **fields)


def reembed(identity_id: str, seed: int, length: int = 16) -> ReembedRequest:
    vector = np.eye(1, length, dtype="<f4").tobytes()
    digest = sha256(photo(seed)).digest()
    face = EmbeddedFace(identity_id=identity_id, number=0, photo_sha256=digest, templates={WHOLE_FACE: vector})
    return ReembedRequest(request_id=f"r{seed}", received_time_s=1.0, action="add", embedder=OTHER, faces=(face,))


async def test_a_face_that_is_embedded_again_in_the_transaction_of_its_enrolment_names_the_place_of_its_photo() -> None:
    async with admin_lane() as lane:
        await lane.write(enrol("ada", 1), enrol("ben", 2), reembed("ben", 2), reembed("ada", 1))
    for number, who in enumerate(("ada", "ben")):
        for embedder in (IN_USE, OTHER):
            photo_of_face = lane.faces[face_key(who, 0, embedder)].photo
            assert photo_of_face is not None
            assert photo_of_face.offset == FIRST + number, (who, embedder)


async def test_a_face_that_is_completed_in_the_transaction_of_its_enrolment_names_the_place_of_its_photo() -> None:
    async with admin_lane(models=COVERED_MODELS) as lane:
        feature = await _feature(3)
        bare = enrol("cleo", 3, feature=feature, feature_model=IN_USE)
        await lane.write(enrol("ada", 1), bare, enrol("cleo", 3, ignore_exist=True))
    face = lane.faces[face_key("cleo", 0, IN_USE)]
    assert set(COVERED_FACE.values()) < set(face.templates), "the second request has completed the face"
    assert face.photo is not None
    assert face.photo.offset == FIRST + 1


async def test_a_face_that_a_reembed_completes_in_the_transaction_of_its_enrolment_names_the_place_of_its_photo() -> (
    None
):
    async with admin_lane(models=COVERED_MODELS) as lane:
        feature = await _feature(3)
        whole = np.asarray(feature, "<f4").tobytes()
        templates = {WHOLE_FACE: whole, **dict.fromkeys(COVERED_FACE.values(), whole)}
        bare = enrol("cleo", 3, feature=feature, feature_model=IN_USE)
        sent = reembed("cleo", 3)
        (face,) = sent.faces
        sent = structs.replace(sent, embedder=IN_USE, faces=(structs.replace(face, templates=templates),))
        await lane.write(enrol("ada", 1), bare, sent)
    record = lane.faces[face_key("cleo", 0, IN_USE)]
    assert record.templates == templates, "the last request has completed the face"
    assert record.photo is not None
    assert record.photo.offset == FIRST + 1


async def _feature(seed: int) -> tuple[float, ...]:
    async with admin_lane() as lane:
        await lane.write(enrol("x", seed))
        whole = lane.faces[face_key("x", 0, IN_USE)].templates[WHOLE_FACE]
    return tuple(np.frombuffer(whole, "<f4").tolist())


async def test_the_first_embeddings_of_a_transaction_fix_the_length_of_those_of_their_embedder() -> None:
    async with admin_lane() as lane:
        await lane.write(enrol("ada", 1), enrol("ben", 2), reembed("ada", 1, 16), reembed("ben", 2, 32))
    assert [event.outcome for event in lane.events] == ["enrolled", "enrolled", "changed", "refused"]
    assert face_key("ben", 0, OTHER) not in lane.faces


@pytest.mark.parametrize(("level", "outcome"), [("high", "refused"), ("low", "enrolled")])
async def test_a_photo_is_judged_by_the_policy_that_its_event_names(level: str, outcome: str) -> None:
    strict = SettingsRequest(request_id="s", received_time_s=1.0, values={"FIQA_LEVEL": level})
    before = Policy(enrolment_quality="low" if level == "high" else "high")
    async with admin_lane(before) as lane:
        await lane.write(strict, enrol("ada", 1, photo=photo(1, size=80)))
    changed, enrolled = lane.events
    assert (changed.outcome, enrolled.outcome) == ("changed", outcome)
    assert enrolled.policy == policy_config(structs.replace(before, enrolment_quality=level)).id
