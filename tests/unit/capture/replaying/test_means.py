"""Replays of matches in which the means of faces were compared, and of matches from before there were means."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import structs

from capture.replaying.decide import without_embedding
from capture.replaying.whatif import WhatIf
from contract.captures.values import CapturedDecision
from contract.people.keys import MEAN_FACE
from engine.policy import Policy
from tests.support.faces import MODELS, photo, several_faces
from tests.support.recorded_site import RecordedSite
from tests.support.replays import differing, means, replayed

OLD = Policy(mean_templates=False)


@pytest.fixture
def site() -> RecordedSite:
    """Four people with three faces, and two with one."""
    site = RecordedSite()
    for seed in range(1, 5):
        site.write(several_faces(f"p{seed}", seed, 3))
    for seed in (5, 6):
        site.enrol(f"p{seed}", seed)
    return site


def decision_of(site: RecordedSite, line: int = -1) -> CapturedDecision:
    decision = site.lines[line].decision
    assert decision is not None
    return decision


def change_first(site: RecordedSite, **fields: Any) -> None:
    """Change the first candidate of the last line."""
    first, *others = decision_of(site).candidates
    site.change_last(candidates=(structs.replace(first, **fields), *others))


@pytest.mark.parametrize("matches", [1, 40], ids=["ranked", "confirmed"])
@pytest.mark.parametrize("policy", [Policy(), OLD], ids=["means", "faces"])
def test_what_has_not_changed_comes_out_again_with_and_without_means(
    site: RecordedSite, tmp_path: Path, policy: Policy, matches: int
) -> None:
    site.policy = policy
    for number in range(matches):
        site.match(photo(1 + number % 8, size=100 + number))
    by_means = [decision_of(site, n).candidates[0].number == MEAN_FACE for n in range(matches)]
    assert any(by_means) is policy.mean_templates
    rows = replayed(site.capture(tmp_path / "c"))
    assert differing(rows) == {}
    assert [row.now for row in rows] == [without_embedding(line).decision for line in site.lines]


def test_the_policies_of_one_capture_may_differ(site: RecordedSite, tmp_path: Path) -> None:
    for number in range(40):
        site.policy = OLD if number % 2 else Policy()
        site.match(photo(1 + number % 4, size=100 + number))
    assert differing(replayed(site.capture(tmp_path / "c"))) == {}


@pytest.mark.parametrize("what_if", [WhatIf(), WhatIf(look=True)], ids=["decide", "look"])
def test_a_capture_from_before_there_were_means_replays_without_differences(
    site: RecordedSite, tmp_path: Path, what_if: WhatIf
) -> None:
    site.policy = OLD
    for number in range(20):
        site.match(photo(1 + number % 8, size=100 + number))
    rows = replayed(site.capture(tmp_path / "c", unset=["mean_templates"]), what_if)
    assert differing(rows) == {}
    assert all(MEAN_FACE not in {c.number for c in row.now.candidates} for row in rows if row.now is not None)


def test_a_decision_that_names_no_policy_is_from_before_there_were_means(site: RecordedSite, tmp_path: Path) -> None:
    site.policy = OLD
    for _ in range(2):
        site.match(photo(1, size=100))
        site.change_last(policy=None)
    assert differing(replayed(site.capture(tmp_path / "c"), given=means(MODELS, Policy()))) == {}


def test_the_number_of_templates_decides_whether_the_threshold_of_then_is_kept(
    site: RecordedSite, tmp_path: Path
) -> None:
    site.match(photo(1, size=100))
    applied = decision_of(site).applied
    assert applied is not None
    site.change_last(applied=structs.replace(applied, faces=18))
    assert replayed(site.capture(tmp_path / "c"))[0].trouble is None
    site.change_last(applied=structs.replace(applied, faces=14))
    (row,) = replayed(site.capture(tmp_path / "d"))
    assert "14 templates were compared, and the scope has 18" in (row.trouble or "")


@pytest.mark.parametrize(
    ("seed", "fields", "words"),
    [
        (5, {"number": MEAN_FACE}, "was the mean of the faces of p5 with the cosine"),
        (1, {"cosine": 0.5}, "the cosine of p1 was 0.5000"),
    ],
)
@pytest.mark.parametrize("matches", [1, 20], ids=["ranked", "confirmed"])
def test_evidence_that_names_another_template_contradicts_the_people(
    site: RecordedSite, tmp_path: Path, seed: int, fields: dict[str, Any], words: str, matches: int
) -> None:
    for number in range(matches):
        site.match(photo(seed, size=100 + number))
    change_first(site, **fields)
    *others, last = replayed(site.capture(tmp_path / "c"))
    assert words in (last.trouble or "")
    assert [row.trouble for row in others] == [None] * (matches - 1)


def test_a_mean_in_evidence_of_a_search_without_means_contradicts_the_people(
    site: RecordedSite, tmp_path: Path
) -> None:
    site.policy = OLD
    site.match(photo(1, size=100))
    change_first(site, number=MEAN_FACE)
    (row,) = replayed(site.capture(tmp_path / "c"))
    assert "was the mean of the faces of p1" in (row.trouble or "")


def test_people_who_are_others_now_leave_the_recorded_cosine_of_a_mean_as_it_was(
    site: RecordedSite, tmp_path: Path
) -> None:
    site.match(photo(1, size=100))
    before = decision_of(site).candidates[0]
    site.enrol("other", 7)
    folder = site.capture(tmp_path / "c")
    (row,) = replayed(folder, WhatIf(gallery_version=site.people.version))
    assert row.differences == ()
    assert row.now is not None
    assert row.now.candidates[0] == before
    assert before.number == MEAN_FACE


def test_the_mean_of_other_faces_is_compared_anew(site: RecordedSite, tmp_path: Path) -> None:
    """With a fourth face the mean is another one, so that the recorded cosine is not that of the present mean."""
    picture = photo(1, size=100)
    site.match(picture)
    before = decision_of(site).candidates[0]
    records = several_faces("p1", 1, 3)
    fourth, _ = several_faces("p1", 9, 1, first=3)
    person = msgspec.msgpack.decode(records[-1][1])
    person |= {"faces": [0, 1, 2, 3], "next_face": 4}
    site.write([fourth, (records[-1][0], msgspec.msgpack.encode(person))])
    folder = site.capture(tmp_path / "c")
    (row,) = replayed(folder, WhatIf(gallery_version=site.people.version))
    assert row.now is not None
    now = row.now.candidates[0]
    site.match(picture)
    live = decision_of(site).candidates[0]
    assert (now.identity_id, now.number) == (live.identity_id, live.number)
    assert now.cosine == pytest.approx(live.cosine, abs=5e-4)
    assert abs(now.cosine - before.cosine) > 1e-3
