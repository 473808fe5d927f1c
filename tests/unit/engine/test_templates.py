"""The mean of a person's faces, which a search compares beside the faces."""

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.codec import encode
from contract.errors import Code, Refusal
from contract.evidence import EvidenceCandidate
from contract.people.held import HeldPerson
from contract.people.keys import MEAN_FACE, face_key, person_key
from contract.people.records import WHOLE_FACE, FaceRecord, PersonRecord
from contract.requests import MatchRequest
from contract.vectors import Vector
from engine.calls.match import MatchCall
from engine.gallery import row_store
from engine.gallery.exact import ExactIndex
from engine.gallery.packed import rounded
from engine.gallery.people import People
from engine.gallery.port import Gallery, Scope
from engine.gallery.templates import Templates, mean_of
from engine.policy import Policy
from models.manifest import FmrPoint
from tests.support.faces import MODELS, Enrolled, Entry, context, photo, several_faces

DIMENSION = 8
MODEL, OTHER = "model+1", "other+1"
STEP = 2.0**-15
"""The step of vectors of eight numbers, at most: they are stored as whole numbers of steps (engine.gallery.packed)."""
FACES, MEANS = Scope(None), Scope(None, means=True)
CURVE = (FmrPoint(fmr=1e-2, threshold=0.3), FmrPoint(fmr=1e-4, threshold=0.5))

Record = tuple[bytes, bytes | None]


def unit(seed: int) -> Vector:
    """A face; that of -seed is opposite."""
    vector = np.random.default_rng(abs(seed)).normal(size=DIMENSION)
    found: Vector = (np.sign(seed or 1) * vector / np.linalg.norm(vector)).astype(np.float32)
    return found


def person(who: str, *faces: int, groups: tuple[str, ...] = ("default_group",)) -> Record:
    next_face = max(faces, default=-1) + 1
    return person_key(who), encode(
        PersonRecord(identity_id=who, group_ids=groups, info={}, faces=faces, next_face=next_face)
    )


def face(who: str, number: int, seed: int, embedder: str = MODEL) -> Record:
    templates = {WHOLE_FACE: unit(seed).tobytes()}
    return face_key(who, number, embedder), encode(
        FaceRecord(identity_id=who, number=number, embedder=embedder, templates=templates)
    )


def no_face(who: str, number: int, embedder: str = MODEL) -> Record:
    return face_key(who, number, embedder), None


def fold(records: Sequence[Record], people: People | None = None) -> People:
    people = People(DIMENSION, MODEL) if people is None else people
    people.apply([Entry(key, value, people.version + place) for place, (key, value) in enumerate(records)])
    return people


def enrolled(who: str, *seeds: int, groups: tuple[str, ...] = ("default_group",)) -> list[Record]:
    faces = [face(who, number, seed) for number, seed in enumerate(seeds)]
    return [*faces, person(who, *range(len(seeds)), groups=groups)]


def gallery_of(*records: Record) -> Gallery:
    return fold(records).snapshot().gallery


def plain_mean(*seeds: int) -> np.ndarray:
    total = np.sum([rounded(unit(seed)).astype(np.float64) for seed in seeds], axis=0)
    return np.asarray(total / np.linalg.norm(total))


def test_the_mean_has_unit_length_and_the_direction_of_the_sum():
    mean = mean_of([unit(1), unit(2), unit(3)])
    assert mean is not None
    assert mean.dtype == np.float32
    assert np.linalg.norm(mean.astype(np.float64)) == pytest.approx(1, abs=STEP)
    assert mean == pytest.approx(plain_mean(1, 2, 3), abs=STEP)
    assert rounded(mean).tobytes() == mean.tobytes()


def test_faces_that_cancel_each_other_out_have_no_mean():
    assert mean_of([unit(1), unit(-1)]) is None
    assert mean_of([unit(1), unit(2), unit(-1), unit(-2)]) is None
    gallery = gallery_of(*enrolled("p", 1, -1))
    assert gallery.vector(("p", MEAN_FACE)) is None
    assert (gallery.count(FACES), gallery.count(MEANS)) == (2, 2)


def test_a_person_with_several_faces_is_found_by_their_mean_in_a_scope_with_means():
    gallery, probe = gallery_of(*enrolled("p", 1, 2, 3), *enrolled("one", 4)), mean_of([unit(1), unit(2), unit(3)])
    assert probe is not None
    (by_mean, _), (by_face, _) = gallery.best(probe, MEANS, 5), gallery.best(probe, FACES, 5)
    assert (by_mean.person.identity_id, by_mean.number) == ("p", MEAN_FACE)
    assert by_mean.cosine == pytest.approx(1, abs=STEP)
    assert by_face.number in (0, 1, 2)
    assert by_face.cosine == pytest.approx(max(float(unit(seed) @ probe) for seed in (1, 2, 3)), abs=STEP)


def test_a_face_that_is_nearer_than_the_mean_wins():
    (found,) = gallery_of(*enrolled("p", 1, 2)).best(unit(2), MEANS, 1)
    assert (found.number, found.cosine) == (1, pytest.approx(1, abs=STEP))


def test_means_are_counted_where_they_are_compared_and_one_face_has_none():
    gallery = gallery_of(*enrolled("three", 1, 2, 3), *enrolled("two", 4, 5, groups=("staff",)), *enrolled("one", 6))
    assert (gallery.count(FACES), gallery.count(MEANS)) == (6, 8)
    assert (gallery.count(Scope("staff")), gallery.count(Scope("staff", means=True))) == (2, 3)
    assert gallery.vector(("one", MEAN_FACE)) is None


def test_the_mean_follows_every_change_of_the_faces():
    people = fold(enrolled("p", 1, 2))
    before = people.snapshot().gallery

    def mean() -> Vector | None:
        return people.snapshot().gallery.vector(("p", MEAN_FACE))

    fold([face("p", 2, 3)], people)
    assert mean() == pytest.approx(plain_mean(1, 2), abs=STEP), "no record of the person names the face yet"
    fold([person("p", 0, 1, 2)], people)
    assert mean() == pytest.approx(plain_mean(1, 2, 3), abs=STEP)
    fold([face("p", 0, 7)], people)
    assert mean() == pytest.approx(plain_mean(7, 2, 3), abs=STEP)
    fold([person("p", 1, 2)], people)
    assert mean() == pytest.approx(plain_mean(2, 3), abs=STEP)
    fold([no_face("p", 2)], people)
    assert mean() is None, "one face is left"
    fold([face("p", 2, 3), (person_key("p"), None)], people)
    assert mean() is None
    assert people.snapshot().gallery.count(MEANS) == 0
    assert before.vector(("p", MEAN_FACE)) == pytest.approx(plain_mean(1, 2), abs=STEP), "a gallery is a value"


def test_faces_of_another_embedder_are_no_part_of_the_mean():
    gallery = gallery_of(face("p", 2, 3, OTHER), *enrolled("p", 1, 2), person("p", 0, 1, 2))
    assert gallery.vector(("p", MEAN_FACE)) == pytest.approx(plain_mean(1, 2), abs=STEP)
    gallery = gallery_of(face("p", 1, 3, OTHER), face("p", 0, 1), person("p", 0, 1))
    assert gallery.vector(("p", MEAN_FACE)) is None


def test_the_mean_changes_the_group_with_its_person():
    people = fold(enrolled("p", 1, 2))
    fold([person("p", 0, 1, groups=("staff",))], people)
    gallery = people.snapshot().gallery
    assert (gallery.count(Scope("staff", means=True)), gallery.count(Scope(means=True))) == (3, 0)


def test_the_mean_is_the_same_whatever_the_order_of_the_records_and_of_the_faces_in_them():
    records = [face("p", number, number + 1) for number in range(5)]
    one = gallery_of(*records, person("p", 0, 1, 2, 3, 4)).vector(("p", MEAN_FACE))
    other = gallery_of(person("p", 4, 2, 0, 1, 3), *reversed(records)).vector(("p", MEAN_FACE))
    assert one is not None
    assert other is not None
    assert one.tobytes() == other.tobytes()


def test_the_vectors_of_a_person_are_those_of_the_faces_alone():
    people = fold(enrolled("p", 1, 2))
    assert sorted(people.known("p").vectors) == [0, 1]
    assert (people.faces_count, people.foreign_faces) == (2, 0)


def test_an_index_of_its_own_keeps_means_of_its_own():
    record = HeldPerson.of(
        PersonRecord(identity_id="p", group_ids=("default_group",), info={}, faces=(0, 1, 2), next_face=3)
    )
    templates = Templates(ExactIndex(DIMENSION))
    templates.put_person("p", None, record)
    for number, seed in ((0, 1), (2, 3)):
        templates.put_face(("p", number), unit(seed), record)
    assert templates.vector(("p", MEAN_FACE)) == pytest.approx(plain_mean(1, 3), abs=STEP)
    templates.remove_face(("p", 2), record)
    assert templates.vector(("p", MEAN_FACE)) is None


PEOPLE = ("a", "b")
CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("face"), st.sampled_from(PEOPLE), st.integers(0, 4), st.integers(-3, 3)),
        st.tuples(st.just("foreign"), st.sampled_from(PEOPLE), st.integers(0, 4), st.integers(-3, 3)),
        st.tuples(st.just("drop"), st.sampled_from(PEOPLE), st.integers(0, 4), st.just(0)),
        st.tuples(st.just("delete"), st.sampled_from(PEOPLE), st.just(0), st.just(0)),
        st.tuples(st.just("person"), st.sampled_from(PEOPLE), st.integers(0, 31), st.integers(0, 1)),
    ),
    max_size=40,
)
"""What changes, of whom, a face number or a set of them as bits, and a seed or a group."""


def record_of(change: tuple[str, str, int, int]) -> Record:
    what, who, number, seed = change
    match what:
        case "face" | "foreign":
            return face(who, number, seed, MODEL if what == "face" else OTHER)
        case "drop":
            return no_face(who, number)
        case "delete":
            return person_key(who), None
    return person(who, *(n for n in range(5) if number >> n & 1), groups=("staff",) if seed else ("default_group",))


class Expected:
    """The templates that follow from the last value of every key, computed without the fold."""

    def __init__(self, latest: dict[bytes, tuple[str, str, int, int]]) -> None:
        self.rows: dict[tuple[str, int], np.ndarray] = {}
        self.groups: dict[str, int] = {}
        last = {(what, who, number if what == "face" else 0): seed for what, who, number, seed in latest.values()}
        for what, who, numbers, group in latest.values():
            if what != "person":
                continue
            named = [n for n in range(5) if numbers >> n & 1 and ("face", who, n) in last]
            seeds = [last["face", who, n] for n in named]
            self.groups[who] = group
            self.rows |= {(who, n): rounded(unit(seed)) for n, seed in zip(named, seeds, strict=True)}
            total = np.sum([rounded(unit(seed)).astype(np.float64) for seed in seeds], axis=0)
            if len(named) > 1 and np.linalg.norm(total) > 1e-3:
                self.rows[who, MEAN_FACE] = total / np.linalg.norm(total)


def latest_of(changes: Sequence[tuple[str, str, int, int]]) -> dict[bytes, tuple[str, str, int, int]]:
    latest: dict[bytes, tuple[str, str, int, int]] = {}
    for what, who, number, seed in changes:
        key = record_of((what, who, number, seed))[0]
        latest.pop(key, None)
        if what not in ("drop", "delete"):
            latest[key] = (what, who, number, seed)
    return latest


def assert_is(gallery: Gallery, expected: Expected) -> None:
    for who in PEOPLE:
        for number in (MEAN_FACE, *range(5)):
            found, wanted = gallery.vector((who, number)), expected.rows.get((who, number))
            assert (found is None) == (wanted is None), (who, number)
            assert found is None or found == pytest.approx(wanted, abs=STEP)
    for scope in (FACES, MEANS, Scope("staff"), Scope("staff", means=True)):
        compared = {
            face: vector
            for face, vector in expected.rows.items()
            if (scope.means or face[1] != MEAN_FACE) and (scope.group_id is None or expected.groups[face[0]])
        }
        assert gallery.count(scope) == len(compared)
        best = {c.person.identity_id: c.cosine for c in gallery.best(unit(9), scope, 5)}
        nearest: dict[str, float] = {}
        for (who, _), vector in compared.items():
            nearest[who] = max(nearest.get(who, -1.0), float(vector @ unit(9)))
        assert best == pytest.approx(nearest, abs=2 * STEP)


@given(CHANGES, st.integers(0, 3))
@settings(max_examples=300, deadline=None)
def test_after_any_changes_the_templates_are_those_of_the_last_records(
    changes: list[tuple[str, str, int, int]], dead_rows: int
) -> None:
    """Seldom and often with the rows of removed faces given up; a gallery that was taken before never changes."""
    people, taken = People(DIMENSION, MODEL), list[tuple[Gallery, Expected]]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_store, "_DEAD_ROWS_KEPT", dead_rows)
        for place, change in enumerate(changes):
            fold([record_of(change)], people)
            if place % 3 == 0:
                taken.append((people.snapshot().gallery, Expected(latest_of(changes[: place + 1]))))
    latest = latest_of(changes)
    taken.append((people.snapshot().gallery, Expected(latest)))
    for gallery, expected in taken:
        assert_is(gallery, expected)
    again = gallery_of(*(record_of(change) for change in latest.values()))
    for who in PEOPLE:
        one, other = (g.vector((who, MEAN_FACE)) for g in (taken[-1][0], again))
        assert (one is None and other is None) or (one is not None and one.tobytes() == other.tobytes())


def crowd(photos: int, count: int = 40) -> Gallery:
    records = [r for n in range(count) for r in enrolled(f"p{n:02}", *range(n * photos + 1, (n + 1) * photos + 1))]
    return gallery_of(*records)


def ranked(gallery: Gallery, probes: np.ndarray, scope: Scope) -> list[tuple[EvidenceCandidate, ...]]:
    return [
        tuple(
            EvidenceCandidate(identity_id=c.person.identity_id, number=c.number, cosine=c.cosine)
            for c in gallery.best(probe, scope, 5)
        )
        for probe in probes
    ]


@pytest.mark.parametrize("scope", [FACES, MEANS], ids=["faces", "means"])
def test_rankings_with_and_without_means_are_confirmed_by_the_same_gallery(scope: Scope) -> None:
    gallery, probes = crowd(3), np.array([unit(5000 + n) for n in range(60)], np.float32)
    rankings = ranked(gallery, probes, scope)
    firsts = [ranking[0].number for ranking in rankings]
    assert (MEAN_FACE in firsts) == scope.means
    halves = probes.astype("<f2").astype(np.float32)
    confirmed = gallery.confirm_each(halves, scope, rankings, 5, 5e-4)
    assert [c and (c.person.identity_id, c.number) for c in confirmed] == [
        (ranking[0].identity_id, ranking[0].number) for ranking in rankings
    ]
    other = gallery.confirm_each(halves, replace(scope, means=not scope.means), rankings, 5, 5e-4)
    wrong = [first for first, ranking in zip(other, rankings, strict=True) if MEAN_FACE in {c.number for c in ranking}]
    if scope.means:
        assert wrong
    assert wrong == [None] * len(wrong)


@pytest.mark.parametrize(("means", "order"), [(True, [2, 0, 1]), (False, None)], ids=["mean", "face"])
def test_the_photo_of_the_newest_face_is_shown_where_the_mean_was_recognised(
    means: bool, order: list[int] | None
) -> None:
    enrolled_ = Enrolled(policy=Policy(mean_templates=means))
    enrolled_.write(several_faces("anna", 1, 3))
    given, call = context(enrolled_.policy), MatchCall()
    request = MatchRequest(
        request_id="r",
        device_ip=None,
        picture=photo(1),
        compare_time_s=1.0,
        received_time_s=1.0,
        need_register_photo=True,
    )
    decision = call.decide(request, enrolled_.people.snapshot(), given)
    assert decision.candidate is not None
    nearest = decision.candidate.number
    assert (nearest == MEAN_FACE) is means
    expected = order or [nearest, *(n for n in (0, 1, 2) if n != nearest)]
    assert call.photos(request, decision, given) == [("anna", number) for number in expected]
    assert call.answer(request, decision, given, None).face_numbers == (0, 1, 2)


def test_the_threshold_follows_the_number_of_templates_also_of_a_refused_request() -> None:
    for means, templates in ((True, 4), (False, 3)):
        enrolled_ = Enrolled(policy=Policy(mean_templates=means))
        enrolled_.write(several_faces("anna", 1, 3))
        models = replace(MODELS, embedder=SimpleNamespace(threshold=0.9, fmr_curve=CURVE))
        given, snapshot = context(enrolled_.policy, models), enrolled_.people.snapshot()
        asked = {"request_id": "r", "device_ip": None, "picture": b"", "compare_time_s": 1.0, "received_time_s": 1.0}
        for fields in ({}, {"group_name": "nowhere"}):
            refusal = Refusal(Code.IMAGE_ERROR, "no picture")
            decision = MatchCall().refuse(MatchRequest(**asked, **fields), refusal, snapshot, given)
            assert decision.threshold.faces == templates
