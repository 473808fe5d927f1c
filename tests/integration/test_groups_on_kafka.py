"""The largest changes of groups that one call may make, on a real Kafka broker, each of them one transaction."""

from collections.abc import Iterator

from broker.port import NewRecord, Start
from contract.http import GROUP_USERS_PATH, GROUPS_PATH, USERS_PATH
from contract.messages import encode
from contract.people.keys import face_key, person_key, photo_key, site_key
from contract.people.records import WHOLE_FACE, FaceRecord, PersonRecord, PhotoRecord, PhotoReference
from contract.people.site import GroupRecord, site_key_of
from contract.terms import DEFAULT_GROUP
from engine.policy import Policy
from ingest.settings import IngestSettings
from picturematch.settings import load_settings
from picturematch.system import System
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
    given = {**environment(kafka_bootstrap), "PICTUREMATCH_INGEST__DEADLINE_MS": "30000"}
    topics = load_settings(None, given).topics
    await create_topics(given)
    async with roles(given) as (ingress, processor, session):
        await enrol(ingress, topics.people, topics.photos, MOST)
        await until(lambda: len(processor.people) == MOST, 60)
        everybody = [f"person-{number}" for number in range(MOST)]
        for some in batched(everybody, IngestSettings().max_members):
            body = {"group_name": "guests", "identity_id": some, "with_identity_id": True}
            async with session.put(GROUP_USERS_PATH, json=body) as moved:
                assert set(some) <= set((await moved.json())["data"]["identity_id"])
            async with session.delete(GROUP_USERS_PATH, json={**body, "group_name": DEFAULT_GROUP}) as left:
                assert not set(some) & set((await left.json())["data"]["identity_id"])
        async with session.get(USERS_PATH, params={"identity_id": "person-7"}) as listed:
            (person,) = (await listed.json())["data"]["identities_list"]
            assert (person["info"]["room"], person["group_name"]) == (7, ["guests"])
        asked = {"group_name": "guests", "user_recursive_delete": True}
        async with session.delete(GROUPS_PATH, json=asked) as deleted:
            assert (await deleted.json())["data"]["people_deleted"] == MOST
        await until(lambda: len(ingress.people) == 0)
        assert await photos_left(ingress, topics.photos) == set()


async def photos_left(system: System, topic: str) -> set[bytes | None]:
    """The keys of the photos that were written and not deleted."""
    ends, latest = await system.broker.end_offsets(topic), dict[bytes | None, bytes | None]()
    async with system.broker.reader(topic, Start.EARLIEST) as reader:
        while any(reader.positions()[partition] < end for partition, end in ends.items()):
            latest |= {record.key: record.value for record in await reader.fetch(1000, 1.0)}
    assert len(latest) == MOST
    return {key for key, value in latest.items() if value is not None}


def batched(everybody: list[str], most: int) -> Iterator[list[str]]:
    return (everybody[first : first + most] for first in range(0, len(everybody), most))
