"""A copy of the fold of the people topic, written to a file and read again."""

import zipfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from contract.codec import encode
from contract.people.keys import SiteKey, face_key, person_key, site_key
from contract.people.listing import PeopleFilter
from contract.people.records import COVERED_FACE, FaceRecord, PersonRecord, PhotoReference
from contract.people.site import GroupRecord
from contract.terms import COVERS
from engine.gallery import parts_file, row_store, rows
from engine.gallery.exact import ExactIndex
from engine.gallery.parts_file import About, UnusableCopy, form_of_copies, read_about, read_parts, write_parts
from engine.gallery.people import People
from engine.gallery.port import EVERYBODY, FaceIndex, Scope, everybody
from engine.gallery.sketch import SketchMaker
from engine.gallery.two_stage import TwoStageIndex
from tests.support.faces import Entry

DIMENSION, MODEL, OTHER = 16, "model+1", "other+2"
NAMES = ("ann", "bob", "cy/0", "dée", "eve")
ABOUT = About(
    form=form_of_copies(),
    embedder=MODEL,
    dimension=DIMENSION,
    written_s=1.5,
    kept_s=60.0,
    last_offset=7,
    last_sha256="00",
)


def sketched(dimension: int) -> FaceIndex:
    return TwoStageIndex(dimension, lambda: SketchMaker(5.0), starts_at=4)


INDEXES = (ExactIndex, sketched)


def unit(seed: int) -> np.ndarray:
    vector = np.random.default_rng(seed).normal(size=DIMENSION).astype(np.float32)
    return vector / np.linalg.norm(vector)


def face(who: str, number: int, seed: int, embedder: str, *, covered: bool, photo: bool) -> tuple[bytes, bytes]:
    templates = {"whole": unit(seed).tobytes()}
    if covered:
        templates[COVERED_FACE[COVERS[0]]] = unit(seed + 1000).tobytes()
    reference = None
    if photo and embedder == MODEL:  # of a face with records of two embedders either photo may be named
        reference = PhotoReference(sha256=bytes([seed]) * 32, partition=seed, offset=seed * 3)
    record = FaceRecord(identity_id=who, number=number, embedder=embedder, templates=templates, photo=reference)
    return face_key(who, number, embedder), encode(record)


def person(who: str, faces: tuple[int, ...], groups: tuple[str, ...], info: dict[str, Any], at: float | None) -> bytes:
    record = PersonRecord(
        identity_id=who, group_ids=groups, info=info, faces=faces, next_face=max(faces, default=-1) + 1
    )
    return encode(structs.replace(record, enrolled_time=at))


WHO, SEED = st.sampled_from(NAMES), st.integers(1, 60)
FACE = st.builds(face, WHO, st.integers(0, 2), SEED, st.sampled_from((MODEL, OTHER)), covered=..., photo=...)
PERSON = st.tuples(
    WHO,
    st.sets(st.integers(0, 2), max_size=3).map(lambda found: tuple(sorted(found))),
    st.sampled_from((("default_group",), ("staff", "night"), ("staff",))),
    st.fixed_dictionaries(
        {"name": st.sampled_from(("Ann", ""))},
        optional={"type": st.sampled_from((1, 4)), "permission_ids": st.just(["0", "7"]), "note": st.just("long")},
    ),
    st.sampled_from((None, 1.0, 2.0)),
).map(lambda given: (person_key(given[0]), person(*given)))
GROUP = st.sampled_from("xyz").map(
    lambda name: (site_key(SiteKey("group", name)), encode(GroupRecord(group_id=name, name=name)))
)
GONE = st.one_of(
    WHO.map(person_key),
    st.builds(face_key, WHO, st.integers(0, 2), st.just(MODEL)),
    st.just(site_key(SiteKey("group", "x"))),
).map(lambda key: (key, None))
RECORDS = st.lists(st.one_of(FACE, FACE, PERSON, PERSON, GROUP, GONE), max_size=40)


def apply(people: People, records: list[tuple[bytes, bytes | None]]) -> None:
    people.apply([Entry(key, value, people.version + place) for place, (key, value) in enumerate(records)])


def through_a_file(people: People, path: Path, new_index: Any) -> People:
    with path.open("wb") as file:
        write_parts(file, ABOUT, people.parts())
    found = People(DIMENSION, MODEL, new_index)
    found.fill(read_parts(path))
    return found


def state(people: People) -> dict[str, Any]:
    """Everything that can be asked of the people."""
    snapshot = people.snapshot()
    scopes = (EVERYBODY, everybody(means=True), Scope(), Scope("staff", "7"), Scope(None, "0"))
    probes = [unit(seed) for seed in (3, 7, 1003)]
    searched = [
        [(found.person, found.number, found.cosine) for found in snapshot.gallery.best(probe, scope, 5)]
        for probe in probes
        for scope in scopes
    ]
    return {
        "version": people.version,
        "site": people.site,
        "people": sorted(people.everybody(), key=lambda person: person.identity_id),
        "pages": [
            people.page(wanted, 0, 10)
            for wanted in (PeopleFilter(), PeopleFilter("staff"), PeopleFilter(person_type=4), PeopleFilter(name="a"))
        ],
        "known": {
            who: (known.record, {n: v.tobytes() for n, v in known.vectors.items()}, dict(known.photos), known.covered)
            for who in NAMES
            for known in [people.known(who)]
        },
        "embedders": {(who, n): set(people.embedders(who, n)) for who in NAMES for n in range(3)},
        "counts": (len(people), people.faces_count, people.own_faces, people.foreign_faces),
        "lengths": [people.embedding_length(embedder) for embedder in (MODEL, OTHER)],
        "strangers": (list(people.strangers.oldest_first()), people.strangers.members("staff")),
        "searched": searched,
        "counted": [snapshot.gallery.count(scope) for scope in scopes],
        "covered": [
            [(c.person, c.number, c.cosine) for c in snapshot.covered.nearest(cover, probe, everybody_of(people))]
            for cover in COVERS
            for probe in probes
        ],
    }


def everybody_of(people: People) -> Any:
    return people.snapshot().gallery.best(unit(1), EVERYBODY, 100)


@pytest.mark.parametrize("new_index", INDEXES)
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=RECORDS, after=RECORDS)
def test_people_from_a_copy_are_the_same_and_change_in_the_same_way(
    new_index: Any, before: list[Any], after: list[Any], tmp_path: Path
) -> None:
    people = People(DIMENSION, MODEL, new_index)
    with pytest.MonkeyPatch.context() as patch:
        for module in (rows, row_store, parts_file):
            patch.setattr(module, "CHUNK", 4)
        patch.setattr(parts_file, "_RECORDS", 3)
        apply(people, before)
        read = through_a_file(people, tmp_path / "copy", new_index)
        assert state(read) == state(people)
        for one in (people, read):
            apply(one, after)
        assert state(read) == state(people)


def test_parts_do_not_change_with_the_people(tmp_path: Path) -> None:
    people = People(DIMENSION, MODEL)
    apply(
        people,
        [face("ann", 0, 1, MODEL, covered=True, photo=True), (person_key("ann"), person("ann", (0,), (), {}, None))],
    )
    before, parts = state(people), people.parts()
    apply(people, [face("ann", 0, 2, MODEL, covered=True, photo=False), (person_key("ann"), None)])
    with (tmp_path / "copy").open("wb") as file:
        write_parts(file, ABOUT, parts)
    read = People(DIMENSION, MODEL)
    read.fill(read_parts(tmp_path / "copy"))
    assert state(read) == before


def test_only_empty_people_are_filled(tmp_path: Path) -> None:
    people = People(DIMENSION, MODEL)
    apply(people, [face("ann", 0, 1, MODEL, covered=False, photo=False)])
    with pytest.raises(ValueError, match="empty"):
        people.fill(people.parts())


def test_people_with_an_unreadable_record_have_no_parts() -> None:
    people = People(DIMENSION, MODEL)
    apply(people, [(person_key("ann"), b"\xc1")])
    with pytest.raises(ValueError, match="unreadable"):
        people.parts()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    people = People(DIMENSION, MODEL)
    for number, name in enumerate(NAMES):
        apply(people, [face(name, 0, number + 1, MODEL, covered=True, photo=True)])
        apply(people, [(person_key(name), person(name, (0,), ("staff",), {"name": name}, None))])
    with (tmp_path / "copy").open("wb") as file:
        write_parts(file, ABOUT, people.parts())
    return tmp_path / "copy"


def test_what_a_copy_is_about_is_read_without_the_rest(copy: Path) -> None:
    assert read_about(copy) == ABOUT


@pytest.mark.parametrize("part", range(20))
def test_a_damaged_copy_is_noticed_or_says_the_same(copy: Path, part: int) -> None:
    whole, expected = copy.read_bytes(), People(DIMENSION, MODEL)
    expected.fill(read_parts(copy))
    before, noticed = state(expected), 0
    for place in range(part, len(whole), 20):
        data = bytearray(whole)
        data[place] ^= 1 << place % 8
        copy.write_bytes(data)
        people = People(DIMENSION, MODEL)
        try:
            people.fill(read_parts(copy))
        except (UnusableCopy, OSError):
            noticed += 1
        else:  # the byte says nothing, such as the time of a member
            assert state(people) == before
    assert noticed > len(whole) // 40


def test_a_copy_of_the_form_before_is_known_to_be_of_another_form(tmp_path: Path) -> None:
    """Its vectors had single precision, and it had neither frames nor embedders."""
    old = {"about": structs.asdict(structs.replace(ABOUT, form="of before"))}
    old |= {"version": 8, "persons": 1, "faces": 1, "rows": 1, "covered": 0, "lengths": {MODEL: DIMENSION}}
    with zipfile.ZipFile(tmp_path / "copy", "w") as archive:
        archive.writestr("rows/vectors/0", unit(1).tobytes())
        archive.writestr("about", msgspec.json.encode(old))
    assert read_about(tmp_path / "copy").form != form_of_copies()
    with pytest.raises(UnusableCopy):
        read_parts(tmp_path / "copy")


@pytest.mark.parametrize("data", [b"", b"PK", b"no archive", b"\0" * 5000])
def test_a_file_that_is_no_copy_is_refused(copy: Path, data: bytes) -> None:
    copy.write_bytes(data)
    with pytest.raises(UnusableCopy):
        read_about(copy)


def test_a_copy_that_was_cut_off_is_refused(copy: Path) -> None:
    data = copy.read_bytes()
    for length in range(0, len(data), 997):
        copy.write_bytes(data[:length])
        with pytest.raises(UnusableCopy):
            read_parts(copy)
