"""The fold of the people topic and the search over it, with every index."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.codec import encode
from contract.people.held import HeldPerson
from contract.people.keys import face_key, person_key
from contract.people.listing import ListedPage, PeopleFilter
from contract.people.records import FaceRecord, PersonRecord, PhotoReference
from engine.gallery.exact import ExactGallery, ExactIndex
from engine.gallery.packed import rounded
from engine.gallery.people import People
from engine.gallery.port import Candidate, FaceIndex, Gallery, Scope
from engine.gallery.sketch import SketchMaker
from engine.gallery.two_stage import TwoStageIndex

DIMENSION = 16
MODEL = "model+1"

NewIndex = Callable[[int], FaceIndex]


def sketched(dimension: int) -> FaceIndex:
    """An index that is built again for each few changes, and used as soon as it is built."""
    index = TwoStageIndex(dimension, lambda: SketchMaker(dimension), starts_at=1, tail=2)
    snapshot = index.snapshot

    def at_once(version: int) -> Gallery:
        snapshot(version)
        index.wait()
        return snapshot(version)

    index.snapshot = at_once  # type: ignore[method-assign]
    return index


INDEXES: tuple[NewIndex, ...] = (ExactIndex, sketched)
"""Every index that a gallery may have."""


@dataclass(frozen=True)
class Entry:
    key: bytes
    value: bytes | None
    offset: int
    damaged: bool = False


def unit(seed: int) -> np.ndarray:
    vector = np.random.default_rng(seed).normal(size=DIMENSION).astype(np.float32)
    return vector / np.linalg.norm(vector)


def person(
    identity_id: str, *faces: int, name: str = "", groups: tuple[str, ...] = ("default_group",)
) -> tuple[bytes, bytes]:
    record = PersonRecord(
        identity_id=identity_id,
        group_ids=groups,
        info={"name": name},
        faces=faces,
        next_face=max(faces, default=-1) + 1,
    )
    return person_key(identity_id), encode(record)


def face(identity_id: str, number: int, vector: np.ndarray, model: str = MODEL) -> tuple[bytes, bytes]:
    templates = {"whole": vector.astype("<f4").tobytes()}
    record = FaceRecord(identity_id=identity_id, number=number, embedder=model, templates=templates)
    return face_key(identity_id, number, model), encode(record)


class Topic:
    """Feeds a fold with rising offsets."""

    def __init__(self, index: NewIndex) -> None:
        self.people = People(DIMENSION, MODEL, index)
        self.offset = 0

    def write(self, *records: tuple[bytes, bytes | None]) -> None:
        entries = [Entry(key, value, self.offset + i) for i, (key, value) in enumerate(records)]
        self.offset += len(records)
        self.people.apply(entries)

    def enrol(self, identity_id: str, *seeds: int) -> None:
        numbers = range(len(seeds))
        self.write(
            *(face(identity_id, n, unit(s)) for n, s in zip(numbers, seeds, strict=True)), person(identity_id, *numbers)
        )


ALL = Scope()


def best(gallery: Gallery, probe: np.ndarray) -> Candidate | None:
    return next(iter(gallery.best(probe, ALL)), None)


@pytest.fixture(params=INDEXES)
def topic(request: pytest.FixtureRequest) -> Topic:
    return Topic(request.param)


def test_the_nearest_face_of_the_gallery_is_found_with_its_person(topic):
    for seed in range(50):
        topic.enrol(f"p{seed}", seed)
    found = best(topic.people.snapshot().gallery, unit(17))
    assert (found.person.identity_id, found.number) == ("p17", 0)
    assert found.cosine == pytest.approx(1.0, abs=1e-6)


def test_an_empty_gallery_has_no_nearest_face(topic):
    assert best(topic.people.snapshot().gallery, unit(1)) is None


def test_of_equally_near_faces_the_smaller_identity_wins(topic):
    for identity_id in ("b", "a", "c"):
        topic.enrol(identity_id, 5)
    assert best(topic.people.snapshot().gallery, unit(5)).person.identity_id == "a"


def test_a_face_without_its_person_is_never_searched(topic):
    topic.write(face("half", 0, unit(1)))
    assert topic.people.snapshot().gallery.count(ALL) == 0
    topic.write(person("half", 0))
    assert topic.people.snapshot().gallery.count(ALL) == 1


def test_a_deleted_person_is_found_no_more_and_a_gallery_taken_before_still_finds_them(topic):
    topic.enrol("gone", 1)
    topic.enrol("stays", 2)
    before = topic.people.snapshot().gallery
    topic.write((person_key("gone"), None), (face_key("gone", 0, MODEL), None))
    assert best(before, unit(1)).person.identity_id == "gone"
    after = topic.people.snapshot().gallery
    assert best(after, unit(1)).person.identity_id == "stays"
    assert (before.count(ALL), after.count(ALL)) == (2, 1)


def test_a_face_that_its_person_no_longer_names_is_not_searched(topic):
    topic.enrol("p", 1, 2)
    topic.write(person("p", 1))
    found = best(topic.people.snapshot().gallery, unit(1))
    assert found.number == 1
    assert found.cosine < 0.99


def test_a_changed_person_answers_with_the_new_name(topic):
    topic.enrol("p", 1)
    before = topic.people.snapshot().gallery
    topic.write(person("p", 0, name="new"))
    assert best(topic.people.snapshot().gallery, unit(1)).person.info["name"] == "new"
    assert best(before, unit(1)).person.info["name"] == ""


def test_faces_of_another_embedder_are_counted_and_not_searched(topic):
    topic.write(face("p", 0, unit(1), model="other+1"), person("p", 0))
    assert topic.people.snapshot().gallery.count(ALL) == 0
    assert topic.people.foreign_faces == 1
    topic.write(face("p", 0, unit(1)))
    assert topic.people.snapshot().gallery.count(ALL) == 1, "both embedders have their place"
    assert (topic.people.foreign_faces, topic.people.own_faces, topic.people.faces_count) == (0, 1, 2)
    assert topic.people.known("p").embedders == {0: ("other+1", MODEL)}
    topic.write((face_key("p", 0, MODEL), None))
    assert topic.people.foreign_faces == 1
    topic.write(face("p", 0, unit(1)), (face_key("p", 0, "other+1"), None))
    assert topic.people.foreign_faces == 0
    assert topic.people.snapshot().gallery.count(ALL) == 1


def test_the_photo_of_a_face_is_the_one_that_its_record_names(topic):
    def with_photo(offset: int) -> tuple[bytes, bytes]:
        photo = PhotoReference(sha256=b"digest", partition=1, offset=offset)
        templates = {"whole": unit(1).astype("<f4").tobytes()}
        return face_key("p", 0, MODEL), encode(
            FaceRecord(identity_id="p", number=0, embedder=MODEL, templates=templates, photo=photo)
        )

    topic.write(with_photo(3), person("p", 0))
    assert topic.people.photo("p", 0).offset == 3
    topic.write(with_photo(8))
    assert topic.people.photo("p", 0).offset == 8
    assert topic.people.photo("p", 1) is None
    topic.write((face_key("p", 0, MODEL), None))
    assert topic.people.photo("p", 0) is None


def test_pages_come_in_order_of_identity_and_do_not_overlap(topic):
    for seed in (3, 1, 2, 5, 4):
        topic.enrol(f"p{seed}", seed)
    topic.write((person_key("p2"), None))
    group = PeopleFilter("default_group")
    ids = [p.identity_id for skip in (0, 2, 4) for p in topic.people.page(group, skip, 2).people]
    assert ids == ["p1", "p3", "p4", "p5"]
    assert topic.people.page(PeopleFilter("no such group"), 0, 10) == ListedPage([], 0)
    topic.enrol("p2", 2)
    topic.enrol("p6", 6)
    assert [p.identity_id for p in topic.people.page(PeopleFilter(), 0, 10).people] == [f"p{n}" for n in range(1, 7)]


def test_an_identity_may_hold_slashes(topic):
    topic.enrol("a/b/7", 1)
    assert best(topic.people.snapshot().gallery, unit(1)).person.identity_id == "a/b/7"


def test_many_removed_faces_leave_the_others_in_place(topic):
    for seed in range(2500):
        topic.enrol(f"p{seed:04}", seed)
    held = topic.people.snapshot().gallery
    for seed in range(0, 2500, 2):
        topic.write((person_key(f"p{seed:04}"), None), (face_key(f"p{seed:04}", 0, MODEL), None))
    gallery = topic.people.snapshot().gallery
    assert gallery.count(ALL) == 1250
    if isinstance(gallery, ExactGallery):
        assert gallery.rows.count < 2500
    assert all(best(gallery, unit(s)).person.identity_id == f"p{s:04}" for s in range(1, 2500, 100))
    assert best(held, unit(0)).person.identity_id == "p0000"


@pytest.mark.parametrize("index", INDEXES)
@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("abcd"), st.integers(0, 3), st.sampled_from(["face", "person", "drop", "delete"])),
        max_size=40,
    )
)
def test_the_fold_agrees_with_looking_at_the_latest_value_of_every_key(index: NewIndex, steps):
    topic = Topic(index)
    latest: dict[bytes, bytes | None] = {}
    named: dict[str, tuple[int, ...]] = {}
    for i, (who, number, what) in enumerate(steps):
        record: tuple[bytes, bytes | None]
        if what == "face":
            record = face(who, number, unit(i))
        elif what == "person":
            record = person(who, *range(number))
            named[who] = tuple(range(number))
        elif what == "drop":
            record = (face_key(who, number, MODEL), None)
        else:
            record = (person_key(who), None)
            named.pop(who, None)
        latest[record[0]] = record[1]
        topic.write(record)
        topic.people.snapshot()
    expected = sum(latest.get(face_key(who, n, MODEL)) is not None for who, numbers in named.items() for n in numbers)
    gallery = topic.people.snapshot().gallery
    assert gallery.count(ALL) == expected
    assert len(topic.people) == len(named)
    replayed = Topic(index)
    replayed.write(*latest.items())
    probe = unit(999)
    one, other = best(gallery, probe), best(replayed.people.snapshot().gallery, probe)
    assert (one and (one.person.identity_id, one.number)) == (other and (other.person.identity_id, other.number))


def test_the_nearest_people_come_in_order_and_each_once(topic):
    topic.enrol("twice", 1, 1)
    for seed in range(2, 400):
        topic.enrol(f"p{seed:03}", seed)
    gallery = topic.people.snapshot().gallery

    found = gallery.best(unit(1), ALL, 5)

    cosines = {f"p{seed:03}": float(rounded(unit(seed)) @ unit(1)) for seed in range(2, 400)}
    expected = ["twice", *sorted(cosines, key=lambda who: -cosines[who])[:4]]
    assert [candidate.person.identity_id for candidate in found] == expected
    assert [candidate.cosine for candidate in found[1:]] == pytest.approx(
        [cosines[who] for who in expected[1:]], abs=1e-6
    )
    assert found[0].number == 0


def test_fewer_people_than_asked_for_are_all_of_them(topic):
    topic.enrol("one", 1, 2, 3)
    topic.enrol("other", 4)
    found = topic.people.snapshot().gallery.best(unit(1), ALL, 5)
    assert [candidate.person.identity_id for candidate in found] == ["one", "other"]


def test_everybody_above_a_cosine_is_found_and_nobody_below(topic):
    for seed in range(300):
        topic.enrol(f"p{seed:03}", seed, seed + 1000)
    nearest = {f"p{s:03}": max(float(unit(s) @ unit(9)), float(unit(s + 1000) @ unit(9))) for s in range(300)}
    found = topic.people.snapshot().gallery.above(unit(9), ALL, 0.25)
    assert {candidate.person.identity_id for candidate in found} == {who for who, c in nearest.items() if c >= 0.25}
    assert len(found) > 1
    assert [candidate.cosine for candidate in found] == sorted((c.cosine for c in found), reverse=True)


def test_a_search_compares_the_people_of_its_group_only(topic):
    topic.enrol("here", 1)
    topic.write(face("there", 0, unit(2)), person("there", 0, groups=("other_group",)))
    gallery, other = topic.people.snapshot().gallery, Scope("other_group")
    assert (gallery.count(ALL), gallery.count(other), gallery.count(Scope("nowhere"))) == (1, 1, 0)
    assert best(gallery, unit(2)).person.identity_id == "here"
    assert [c.person.identity_id for c in gallery.best(unit(1), other)] == ["there"]
    assert gallery.best(unit(1), Scope("nowhere")) == []
    topic.write(person("there", 0, groups=("default_group",)))
    assert best(topic.people.snapshot().gallery, unit(2)).person.identity_id == "there"
    assert best(gallery, unit(2)).person.identity_id == "here", "a gallery is a value"


@pytest.mark.parametrize("index", INDEXES)
@pytest.mark.parametrize("count", [3, 1003])
def test_equally_near_people_are_ordered_by_identity_wherever_their_faces_lie(index: NewIndex, count: int) -> None:
    rng = np.random.default_rng(count)
    for trial in range(20):
        faces = index(512)
        vector = rng.normal(size=512).astype(np.float32)
        vector /= np.linalg.norm(vector)
        ids = [f"p{n:04}" for n in rng.permutation(count)]
        for identity_id in ids:
            owner = PersonRecord(
                identity_id=identity_id, group_ids=("default_group",), info={}, faces=(0,), next_face=1
            )
            faces.add((identity_id, 0), vector, HeldPerson.of(owner))
        probe = (vector + 0.05 * rng.normal(size=512).astype(np.float32)).astype(np.float32)
        probe /= np.linalg.norm(probe)
        found = faces.snapshot(1).best(probe, ALL, 2)
        assert [c.person.identity_id for c in found] == ["p0000", "p0001"], trial
        assert found[0].cosine == found[1].cosine
