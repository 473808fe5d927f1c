"""Replays of matches in which a person of type 4 (stranger) is nearer than somebody else who is recognised."""

from pathlib import Path

import pytest

from capture.replaying.whatif import WhatIf
from tests.support.faces import like_face, person_with, photo
from tests.support.recorded_site import RecordedSite
from tests.support.replays import differing, replayed

MATCHES = pytest.mark.parametrize("matches", [1, 40], ids=["ranked", "confirmed"])


def recorded(matches: int, cosine: float) -> RecordedSite:
    """Matches of a stranger, who is enrolled, and who has that cosine to Zoe."""
    site = RecordedSite()
    site.write(person_with("a-stranger", like_face(77, 1.0), name="stranger", type=4))
    site.write(person_with("zoe", like_face(77, cosine), name="Zoe"))
    site.enrol("p1", 1)
    for number in range(matches):
        site.match(photo(77, size=100 + number))
    return site


def outcomes(site: RecordedSite) -> set[tuple[str, str]]:
    return {(line.decision.outcome, line.decision.identity_id) for line in site.lines if line.decision is not None}


@MATCHES
@pytest.mark.parametrize("cosine", [0.9, 0.2], ids=["zoe", "stranger"])
def test_what_has_not_changed_comes_out_again(tmp_path: Path, matches: int, cosine: float) -> None:
    site = recorded(matches, cosine)
    expected = ("matched", "zoe") if cosine == 0.9 else ("known_stranger", "a-stranger")
    assert outcomes(site) == {expected}
    assert differing(replayed(site.capture(tmp_path / "c"))) == {}


@MATCHES
def test_a_lower_threshold_recognises_who_is_behind_the_stranger(tmp_path: Path, matches: int) -> None:
    site = recorded(matches, 0.35)
    assert outcomes(site) == {("known_stranger", "a-stranger")}
    rows = replayed(site.capture(tmp_path / "c"), WhatIf(threshold=0.2))
    assert {(row.now.outcome, row.now.identity_id) for row in rows if row.now is not None} == {("matched", "zoe")}
    assert len(differing(rows)) == matches


@MATCHES
def test_a_higher_threshold_leaves_the_stranger(tmp_path: Path, matches: int) -> None:
    site = recorded(matches, 0.8)
    assert outcomes(site) == {("matched", "zoe")}
    rows = replayed(site.capture(tmp_path / "c"), WhatIf(threshold=0.9))
    now = {(row.now.outcome, row.now.identity_id) for row in rows if row.now is not None}
    assert now == {("known_stranger", "a-stranger")}
