"""The largest change that one call may make, on a real Kafka broker: one transaction within the deadline."""

from broker.port import NewRecord
from contract.http import GROUP_USERS_PATH, GROUPS_PATH, USERS_PATH
from contract.messages import encode
from contract.people.keys import face_key, person_key, photo_key, site_key
from contract.people.records import WHOLE_FACE, FaceRecord, PersonRecord, PhotoRecord, PhotoReference
from contract.people.site import GroupRecord, site_key_of
from contract.terms import DEFAULT_GROUP
from engine.policy import Policy
from picturematch.settings import load_settings
from picturematch.system import System
from tests.integration.test_processor import read_all
from tests.integration.test_roles_on_kafka import create_topics, environment, roles
from tests.support.faces import MODELS
from tests.support.waiting import until

MOST = Policy().max_recursive_delete
GROUP = GroupRecord(group_id="g", name="guests")
VECTOR = b"\x00\x00\x80\x3f" + bytes(4 * (MODELS.embedder.dimension - 1))


def people(number: int, group_id: str) -> list[tuple[bytes, bytes]]:
    """The records of a person with one face."""
    who, embedder = f"person-{number}", MODELS.embedder_identity
    person = PersonRecord(identity_id=who, group_ids=(group_id,), info={"room": number}, faces=(0,), next_face=1)
    face = FaceRecord(
        identity_id=who,
        number=0,
        embedder=embedder,
        templates={WHOLE_FACE: VECTOR},
        photo=PhotoReference(sha256=bytes(32), partition=0, offset=0),
    )
    return [(person_key(who), encode(person)), (face_key(who, 0, embedder), encode(face))]


async def enrol(system: System, topic: str, photos: str, count: int) -> None:
    """Write people who are in the default group, as many enrolments would."""
    records = [pair for number in range(count) for pair in people(number, DEFAULT_GROUP)]
    rows = [NewRecord(topic, key, value, partition=0) for key, value in records]
    rows.append(NewRecord(topic, site_key(site_key_of(GROUP)), encode(GROUP), partition=0))
    pictures = (PhotoRecord(identity_id=f"person-{number}", number=0, jpeg=b"jpeg") for number in range(count))
    rows += [NewRecord(photos, photo_key(photo.identity_id, 0), encode(photo)) for photo in pictures]
    await system.broker.append(rows)
    await until(lambda: len(system.people) == count, 60)


async def test_as_many_people_as_allowed_are_moved_and_deleted_with_their_group_by_one_call_each(kafka_bootstrap):
    given = environment(kafka_bootstrap)
    topics = load_settings(None, given).topics
    await create_topics(given)
    async with roles(given) as (ingress, processor, session):
        await enrol(ingress, topics.people, topics.photos, MOST)
        await until(lambda: len(processor.people) == MOST, 60)
        body = {"group_name": "guests", "identity_id": [f"person-{number}" for number in range(MOST)]}
        async with session.put(GROUP_USERS_PATH, json={**body, "with_identity_id": True}) as moved:
            assert sorted((await moved.json())["data"]["identity_id"]) == sorted(body["identity_id"])
        async with session.get(USERS_PATH, params={"identity_id": "person-7"}) as listed:
            (person,) = (await listed.json())["data"]["identities_list"]
            assert (person["info"]["room"], person["group_name"]) == (7, [DEFAULT_GROUP, "guests"])
        async with session.delete(GROUP_USERS_PATH, json={**body, "group_name": DEFAULT_GROUP}) as left:
            assert left.status == 200
        asked = {"group_name": "guests", "user_recursive_delete": True}
        async with session.delete(GROUPS_PATH, json=asked) as deleted:
            assert (await deleted.json())["data"]["people_deleted"] == MOST
        await until(lambda: len(ingress.people) == 0)
        latest = {record.key: record.value for record in await read_all(ingress.broker, topics.photos)}
        assert (len(latest), set(latest.values())) == (MOST, {None})
