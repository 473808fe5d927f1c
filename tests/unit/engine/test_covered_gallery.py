"""The templates of covered faces in memory."""

import numpy as np
import pytest

from contract.people.records import COVERED_FACE, PersonRecord
from engine.gallery.covered import CoveredIndex, CoveredTemplates
from engine.gallery.port import Candidate

DIMENSION = 16


def unit(seed: int) -> np.ndarray:
    vector = np.random.default_rng(seed).normal(size=DIMENSION).astype(np.float32)
    return vector / np.linalg.norm(vector)


def templates(seed: int, *covers: str) -> dict[str, bytes]:
    return {"whole": unit(99).tobytes(), **{COVERED_FACE[c]: unit(seed).astype("<f4").tobytes() for c in covers}}


def people(*names: str, faces: tuple[int, ...] = (0,)) -> list[Candidate]:
    return [
        Candidate(PersonRecord(identity_id=n, group_ids=(), info={}, faces=faces, next_face=9), 0, 0.3) for n in names
    ]


def nearest(found: CoveredTemplates, seed: int, *candidates: Candidate, cover: str = "mouth") -> list[tuple]:
    return [(c.person.identity_id, c.number, round(c.cosine, 2)) for c in found.nearest(cover, unit(seed), candidates)]


@pytest.fixture
def index() -> CoveredIndex:
    return CoveredIndex(DIMENSION)


def test_people_are_compared_by_the_templates_of_the_cover(index: CoveredIndex) -> None:
    index.put(("anna", 0), templates(1, "mouth"))
    index.put(("ben", 0), templates(2, "mouth", "eyes"))
    found = index.snapshot()
    first, second = nearest(found, 1, *people("ben", "anna"))
    assert first == ("anna", 0, 1.0)
    assert second == ("ben", 0, round(float(unit(1) @ unit(2)), 2))
    assert nearest(found, 2, *people("ben", "anna"), cover="eyes") == [("ben", 0, 1.0)]


def test_who_has_no_template_of_the_cover_is_not_compared(index: CoveredIndex) -> None:
    index.put(("anna", 0), templates(1))
    assert not index.snapshot()
    assert nearest(index.snapshot(), 1, *people("anna")) == []
    index.put(("ben", 0), templates(2, "eyes"))
    assert nearest(index.snapshot(), 2, *people("anna", "ben")) == []
    assert nearest(index.snapshot(), 2, cover="eyes") == []


def test_nobody_is_returned_where_the_nearest_template_does_not_reach_the_least_cosine(index: CoveredIndex) -> None:
    index.put(("anna", 0), templates(1, "mouth"))
    index.put(("ben", 0), templates(2, "mouth", "eyes"))
    both, found = people("anna", "ben"), index.snapshot()
    everybody = found.nearest("mouth", unit(2), both)
    assert [c.person.identity_id for c in everybody] == ["ben", "anna"]
    reached = everybody[0].cosine
    assert found.nearest("mouth", unit(2), both, reached) == everybody, "who reaches it exactly does, with all others"
    assert found.nearest("mouth", unit(2), both, float(np.nextafter(reached, 2.0))) == ()


def test_a_face_without_a_template_of_the_cover_reaches_no_cosine(index: CoveredIndex) -> None:
    index.put(("anna", 0), templates(1, "mouth"))
    index.put(("ben", 0), templates(2, "eyes"))
    opposite = (-unit(1)).astype(np.float32)
    found = index.snapshot().nearest("mouth", opposite, people("anna", "ben"), -0.5)
    assert found == (), "the zeros of a missing template have the cosine 0 to everything"


def test_of_several_faces_the_nearest_counts_and_equal_people_are_ordered_by_their_ids(
    index: CoveredIndex,
) -> None:
    for name in ("ben", "anna"):
        index.put((name, 0), templates(2, "mouth"))
        index.put((name, 1), templates(1, "mouth"))
    found = nearest(index.snapshot(), 1, *people("ben", "anna", faces=(0, 1)))
    assert found == [("anna", 1, 1.0), ("ben", 1, 1.0)]
    (only,) = nearest(index.snapshot(), 1, *people("ben", faces=(0,)))
    assert only[1] == 0, "only faces that the person's record names count"


def test_a_snapshot_keeps_what_it_had(index: CoveredIndex) -> None:
    index.put(("anna", 0), templates(1, "mouth"))
    before = index.snapshot()
    index.remove(("anna", 0))
    without = index.snapshot()
    index.put(("anna", 0), templates(2, "mouth"))
    index.put(("ben", 0), templates(3, "mouth"))
    after = index.snapshot()
    assert nearest(before, 1, *people("anna", "ben")) == [("anna", 0, 1.0)]
    assert nearest(without, 1, *people("anna", "ben")) == []
    assert nearest(after, 2, *people("anna", "ben"))[0] == ("anna", 0, 1.0)
    assert {c[0] for c in nearest(after, 2, *people("anna", "ben"))} == {"anna", "ben"}


def test_rows_of_removed_faces_do_not_stay_for_ever(index: CoveredIndex) -> None:
    kept = [("kept", number) for number in range(10)]
    for number, face in enumerate(kept):
        index.put(face, templates(number, "mouth"))
    for number in range(3000):
        index.put(("moving", 0), templates(number, "mouth"))
    assert len(index.snapshot().vectors) < 2000
    for number, _ in enumerate(kept):
        assert nearest(index.snapshot(), number, *people("kept", faces=tuple(range(10))))[0] == ("kept", number, 1.0)


def test_an_unknown_face_is_removed_without_an_error(index: CoveredIndex) -> None:
    index.remove(("nobody", 0))
    assert not index.snapshot()
