import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from capture.timeline import Timeline
from contract.captures.values import PeopleLine
from contract.codec import encode
from contract.people.keys import face_key, person_key
from contract.people.records import WHOLE_FACE, FaceRecord, PersonRecord
from engine.gallery.port import Scope

EMBEDDER = "embedder"
CHANGES = st.lists(st.tuples(st.sampled_from("abcd"), st.booleans()), max_size=30)


def records(changes: list[tuple[str, bool]]) -> list[PeopleLine]:
    """People who come and go, in this order; the offsets of a log have gaps."""
    lines: list[PeopleLine] = []

    def add(key: bytes, value: bytes | None) -> None:
        lines.append(PeopleLine(offset=3 * len(lines) + 1, time=float(len(lines)), key=key, value=value))

    for who, comes in changes:
        vector = np.eye(4, dtype="<f4")["abcd".index(who)].tobytes()
        face = FaceRecord(identity_id=who, number=0, embedder=EMBEDDER, templates={WHOLE_FACE: vector})
        person = PersonRecord(identity_id=who, group_ids=("default_group",), info={}, faces=(0,), next_face=1)
        add(face_key(who, 0, EMBEDDER), encode(face) if comes else None)
        add(person_key(who), encode(person) if comes else None)
    return lines


def present(changes: list[tuple[str, bool]]) -> set[str]:
    return {who for who, comes in dict(changes).items() if comes}


@given(CHANGES, st.lists(st.integers(0, 30), max_size=20))
def test_the_people_of_every_version_are_those_of_the_changes_before_it(
    changes: list[tuple[str, bool]], asked: list[int]
) -> None:
    lines = records(changes)
    timeline = Timeline(lines, 4, EMBEDDER)
    snapshots = []
    for number in asked:
        done = min(number, len(changes))
        version = lines[2 * done - 1].offset + 1 if done else 0
        snapshots.append((timeline.at(version), present(changes[:done])))
    for snapshot, people in snapshots:
        found = snapshot.gallery.best(np.full(4, 0.5, np.float32), Scope(), 10)
        assert {candidate.person.identity_id for candidate in found} == people


def test_a_version_between_two_records_is_that_of_the_earlier_record() -> None:
    lines = records([("a", True)])
    timeline = Timeline(lines, 4, EMBEDDER)
    assert timeline.at(lines[-1].offset + 1) is timeline.at(1_000_000)
    assert timeline.at(0).gallery.count(Scope()) == 0
