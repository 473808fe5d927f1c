"""Decisions by the templates of covered faces come out again from what was recorded."""

from pathlib import Path

import pytest

from capture.replaying.whatif import WhatIf
from engine.policy import Policy
from tests.support.covered import COVERED_MODELS, UNEVEN_MODELS, WHOLE, beside, covered_photo, two_near
from tests.support.faces import MODELS, photo
from tests.support.recorded_site import RecordedSite
from tests.support.replays import differing, means, replayed

GIVEN = means(COVERED_MODELS)


def outcomes(rows: list) -> list[str | None]:
    return [row.now and row.now.outcome for row in rows]


def covers(rows: list) -> list[str | None]:
    return [row.now.applied and row.now.applied.cover for row in rows]


@pytest.fixture
def site() -> RecordedSite:
    found = RecordedSite(models=COVERED_MODELS)
    for name, seed in (("a", 1), ("b", 2), ("c", 3)):
        found.enrol(name, seed)
    return found


def test_nothing_differs_and_no_network_is_needed(site: RecordedSite, tmp_path: Path) -> None:
    for seed in (1, 2, 3, 77):
        for picture in (photo(seed), covered_photo(seed, "mouth"), covered_photo(seed, "eyes")):
            site.match(picture)
    site.delete("a")
    site.match(covered_photo(1))
    site.policy = Policy(covered_templates=False)
    site.match(covered_photo(2))
    site.policy = Policy(score_scale="percent", accepted_score=70.0)
    site.match(covered_photo(3))
    rows = replayed(site.capture(tmp_path / "c"), given=GIVEN)
    assert differing(rows) == {}
    assert {row.tier for row in rows} == {"decide"}
    assert covers(rows) == [*[None, "mouth", "eyes"] * 3, *[None] * 3, None, None, "mouth"]
    for row in rows:
        assert row.now.candidates == row.line.decision.candidates
        assert row.now.applied == row.line.decision.applied


def test_many_lines_at_once_are_no_difference(site: RecordedSite, tmp_path: Path) -> None:
    for number in range(40):
        seed = (1, 2, 3, 77)[number % 4]
        site.match(photo(seed) if number % 3 else covered_photo(seed, "eyes"))
    rows = replayed(site.capture(tmp_path / "c"), given=GIVEN)
    assert differing(rows) == {}
    assert {"eyes", None} == set(covers(rows))


def test_a_look_at_the_picture_gives_the_same(site: RecordedSite, tmp_path: Path) -> None:
    site.match(covered_photo(1))
    site.match(covered_photo(77))
    rows = replayed(site.capture(tmp_path / "c"), WhatIf(look=True), GIVEN)
    assert (differing(rows), covers(rows), outcomes(rows)) == ({}, ["mouth", None], ["matched", "stranger"])


def test_under_a_fixed_threshold_whole_faces_decide(site: RecordedSite, tmp_path: Path) -> None:
    site.match(covered_photo(1, "eyes"))
    folder = site.capture(tmp_path / "c")
    rows = replayed(folder, WhatIf(threshold=WHOLE), GIVEN)
    assert (outcomes(rows), covers(rows)) == (["stranger"], [None])
    assert rows[0].tier == "decide"
    rows = replayed(folder, WhatIf(threshold=0.5), GIVEN)
    assert (outcomes(rows), covers(rows)) == (["matched"], [None])


def test_another_target_moves_the_threshold_of_a_cover(site: RecordedSite, tmp_path: Path) -> None:
    site.match(covered_photo(1))
    then = site.lines[0].decision.applied
    rows = replayed(site.capture(tmp_path / "c"), WhatIf(target_fpir=1e-5), GIVEN)
    assert covers(rows) == ["mouth"]
    assert rows[0].now.applied.cosine > then.cosine


def test_captures_from_before_covered_templates_are_decided_by_whole_faces(tmp_path: Path) -> None:
    site = RecordedSite(models=COVERED_MODELS, policy=Policy(covered_templates=False))
    site.enrol("a", 1)
    site.policy = Policy()
    site.enrol("b", 2)  # a record with templates of covered faces
    site.policy = Policy(covered_templates=False)
    site.match(covered_photo(2))
    site.change_last(policy=None)  # of a release that recorded no policies
    site.match(covered_photo(2))
    rows = replayed(site.capture(tmp_path / "c"), given=GIVEN)
    assert (differing(rows), covers(rows)) == ({}, [None, None])


def test_without_the_curves_a_decision_by_a_cover_is_not_made_again(site: RecordedSite, tmp_path: Path) -> None:
    site.match(covered_photo(1))
    rows = replayed(site.capture(tmp_path / "c"), given=means(None))
    assert "curve of its embedder is not known" in (rows[0].trouble or "")


def test_an_embedder_without_curves_of_covers_leaves_whole_faces(site: RecordedSite, tmp_path: Path) -> None:
    site.match(photo(1))
    rows = replayed(site.capture(tmp_path / "c"), given=means(MODELS))
    assert (outcomes(rows), covers(rows)) == (["matched"], [None])


def test_a_covered_face_beside_small_ones_comes_out_again(site: RecordedSite, tmp_path: Path) -> None:
    for small in (2, 77):
        for all_faces in (False, True):
            site.match(beside(1, small), match_all_faces=all_faces)
    folder = site.capture(tmp_path / "c")
    for what_if, tier in ((None, "decide"), (WhatIf(look=True), "look")):
        rows = replayed(folder, what_if, GIVEN)
        assert (differing(rows), {row.tier for row in rows}) == ({}, {tier})
        assert covers(rows) == ["mouth"] * 4
        assert [row.now.searched for row in rows] == [row.line.decision.searched for row in rows]
    assert [len(row.now.searched) for row in rows] == [0, 2, 0, 2]


def test_the_cover_with_the_larger_margin_decides_again(tmp_path: Path) -> None:
    site = RecordedSite(models=UNEVEN_MODELS)
    site.enrol("a", 1)
    site.match(covered_photo(1))
    folder, given = site.capture(tmp_path / "c"), means(UNEVEN_MODELS)
    for what_if, tier in ((None, "decide"), (WhatIf(target_fpir=0.009), "decide"), (WhatIf(look=True), "look")):
        rows = replayed(folder, what_if, given)
        assert (covers(rows), [row.tier for row in rows]) == (["eyes"], [tier])
    assert differing(rows) == {}


@pytest.mark.parametrize("all_faces", [False, True])
@pytest.mark.parametrize(("middle", "side"), [(1, 77), (77, 1)])
def test_a_covered_person_beside_a_stranger_comes_out_again(
    site: RecordedSite, tmp_path: Path, middle: int, side: int, all_faces: bool
) -> None:
    site.match(two_near(middle, side, covered=1), match_all_faces=all_faces)
    folder = site.capture(tmp_path / "c")
    for what_if, tier in ((None, "decide"), (WhatIf(look=True), "look")):
        rows = replayed(folder, what_if, GIVEN)
        assert (differing(rows), {row.tier for row in rows}) == ({}, {tier})
        assert (outcomes(rows), covers(rows)) == (["matched"], ["mouth"])
