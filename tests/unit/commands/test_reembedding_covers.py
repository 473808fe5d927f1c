"""`picturematch people reembed` completes faces that have no templates of covered faces."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pybase64
import pytest

from broker.embedded import open_embedded
from broker.port import Broker, NewRecord, TopicSpec
from clients.answers import ServerAnswer
from contract.answers import FaceOutcome, ReembeddedAnswer
from contract.people.coverage import CoverDirectory, faces_without_covers
from contract.requests import EnrolRequest
from contract.site_requests import EmbeddedFace, ReembedRequest
from contract.topics import Topics
from engine.calls.enrol import EnrolCall
from engine.calls.people import NOTHING_PREPARED, ChangeDecision
from engine.calls.reembed import ReembedCall
from engine.gallery.pending import PendingPeople
from engine.gallery.people import People
from engine.policy import Policy
from picturematch.options import UserError
from picturematch.reembedding import EnrolledPeople, Pace, Reembedding
from tests.support.covered import COVERED_MODELS, CoveredEmbedder
from tests.support.faces import Entry, context, photo

TOPICS = Topics()
IN_USE = COVERED_MODELS.embedder_identity


class Town:
    """People of a log, who are enrolled without templates of covered faces, and a server that takes the call.

    It stands in for the client of that server: the call is decided and written as a server does it.
    """

    url = "http://town"

    def __init__(self, log: Broker) -> None:
        self.log, self.people = log, People(COVERED_MODELS.embedder.dimension, IN_USE)
        self.models = COVERED_MODELS
        self.writes = True
        self.asked = list[str]()

    async def enrol(self, identity_id: str, seed: int, policy: Policy, **fields: Any) -> None:
        request = EnrolRequest(
            **{"request_id": "e", "identity_id": identity_id, "received_time_s": 1.0, "photo": photo(seed)} | fields
        )
        call, given = EnrolCall(), context(policy, COVERED_MODELS)
        await self.write(call.decide(request, call.prepare(request, given), PendingPeople(self.people), given))

    async def write(self, decision: ChangeDecision) -> None:
        assert decision.refusal is None, decision.refusal
        photos = [NewRecord(TOPICS.photos, key, value) for key, value in decision.photos]
        places = [(at.partition, at.offset) for at in await self.log.append(photos)] if photos else []
        for key, value in decision.people_records(places):
            (at,) = await self.log.append([NewRecord(TOPICS.people, key, value)])
            self.people.apply([Entry(key, value, at.offset)])

    async def post(self, path: str, body: dict[str, Any]) -> ServerAnswer:
        faces = tuple(
            EmbeddedFace(
                identity_id=face["identity_id"],
                number=face["number"],
                photo_sha256=bytes.fromhex(face["photo_sha256"]),
                templates={kind: pybase64.b64decode(data) for kind, data in face["templates"].items()},
            )
            for face in body["faces"]
        )
        self.asked += [face.identity_id for face in faces]
        asked = {name: body.get(name) for name in ("action", "embedder", "face", "covered_templates")}
        request = ReembedRequest(**{"request_id": "r", "received_time_s": 1.0, "faces": faces} | asked)
        given = context(models=self.models)
        decision = ReembedCall().decide(request, NOTHING_PREPARED, PendingPeople(self.people), given)
        assert isinstance(decision.answer, ReembeddedAnswer), decision.refusal
        if self.writes:
            await self.write(decision)
        outcomes: list[FaceOutcome] = list(decision.answer.outcomes)
        return ServerAnswer(200, {"data": {"outcomes": outcomes}})


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    async with open_embedded(tmp_path, role="owner", clock_ms=lambda: 1_700_000_000_000) as log:
        await log.ensure_topics([TopicSpec(name, 1) for name in (TOPICS.people, TOPICS.photos)])
        town = Town(log)
        off = Policy(covered_templates=False)
        await town.enrol("ada", 1, off)
        await town.enrol("ben", 2, off)
        await town.enrol("cy", 3, Policy())
        feature = town.people.known("ada").vectors[0].tolist()
        await town.enrol("dot", 0, off, photo=None, feature=tuple(feature), feature_model=IN_USE)
        yield town


async def completed(town: Town, policy: Policy | None = None, embedder: CoveredEmbedder | None = None) -> Reembedding:
    models = COVERED_MODELS if embedder is None else replace(COVERED_MODELS, embedder=embedder)
    async with EnrolledPeople(town.log, TOPICS, IN_USE) as people:
        client: Any = town
        running = Reembedding(people, client, context(policy, models), Pace())
        await running.run()
        return running


def uncovered(town: Town) -> list[str]:
    return [who for who in ("ada", "ben", "cy", "dot") if not town.people.known(who).covered]


async def test_faces_with_a_photo_get_the_templates_and_keep_their_embedding(town: Town) -> None:
    assert uncovered(town) == ["ada", "ben", "dot"]
    before = {who: town.people.known(who) for who in ("ada", "ben", "cy", "dot")}
    done = await completed(town)
    assert (done.tally.completed, done.tally.added, town.asked) == (2, 0, ["ada", "ben"])
    assert uncovered(town) == ["dot"], "who was enrolled by a feature has no photo"
    for who, known in before.items():
        after = town.people.known(who)
        assert (after.photos, after.embedders, after.record) == (known.photos, known.embedders, known.record)
        assert after.vectors[0].tobytes() == known.vectors[0].tobytes()
    assert (await completed(town)).tally.completed == 0
    assert town.asked == ["ada", "ben"], "nobody is sent twice"


async def test_the_templates_are_those_of_an_enrolment(town: Town) -> None:
    await completed(town)
    await town.enrol("again", 1, Policy())
    covered = town.people.snapshot().covered
    one, other = (covered.vectors[covered.rows[who, 0]] for who in ("ada", "again"))
    assert one.any()
    assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize("without", ["setting", "curves"])
async def test_where_enrolments_make_no_such_templates_nobody_is_completed(town: Town, without: str) -> None:
    embedder = CoveredEmbedder()
    if without == "curves":
        embedder.covered_curves = {}
    policy = Policy(covered_templates=without != "setting")
    assert (await completed(town, policy, embedder)).tally.completed == 0
    assert town.asked == []


async def test_a_face_that_the_server_does_not_complete_is_sent_once(town: Town) -> None:
    # A server with another embedder knows nothing about the templates of this one.
    identities = {**dict(COVERED_MODELS.identities), "embedder": "another-r1"}
    town.models = replace(COVERED_MODELS, identities=tuple(identities.items()))
    done = await completed(town)
    assert (done.tally.completed, town.asked) == (0, ["ada", "ben"])


async def test_a_server_on_another_log_is_noticed_when_faces_are_completed(town: Town) -> None:
    town.writes = False
    with pytest.raises(UserError, match="uses another log"):
        await completed(town)


async def test_the_directory_forgets_the_templates_of_a_face_that_is_deleted_or_replaced(town: Town) -> None:
    people = CoverDirectory()

    def waiting() -> list[str]:
        return sorted(face.identity_id for face in faces_without_covers(people, IN_USE))

    async with EnrolledPeople(town.log, TOPICS, IN_USE) as read:
        people = read.directory
        assert waiting() == ["ada", "ben"]
        await completed(town)
        await read.catch_up()
        assert waiting() == []
        (key,) = (key for key in town.people.keys_of("ada") if key.startswith(b"face/"))
        await town.log.append([NewRecord(TOPICS.people, key, None)])
        await read.catch_up()
        assert waiting() == []
        assert not people.has_covers("ada", 0, IN_USE)
