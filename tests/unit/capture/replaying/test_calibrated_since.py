"""Looks at pictures of then with an embedder whose curves were measured anew: the thresholds of then decide."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from capture.replaying.whatif import WhatIf
from contract.errors import Code
from contract.terms import Cover
from engine.vision.decode.jpeg import encode_jpeg
from engine.vision.networks.standin import draw_face, draw_scene
from engine.vision.ports import ModelSet
from tests.support.covered import COVERED, COVERED_MODELS, WHOLE, CoveredEmbedder, covered_photo, curve
from tests.support.faces import photo, scene
from tests.support.recorded_site import RecordedSite
from tests.support.replays import differing, means, replayed

LOOK = WhatIf(look=True)
SMALL = 61
"""The size of a face that is similar to its photo, but not very."""


def calibrated(whole: float = WHOLE, covered: float = COVERED) -> ModelSet:
    embedder = CoveredEmbedder()
    embedder.fmr_curve = curve(whole)
    embedder.covered_curves = {"mouth": curve(covered), "eyes": curve(covered)}
    return replace(COVERED_MODELS, embedder=embedder)


@pytest.fixture
def site() -> RecordedSite:
    found = RecordedSite(models=COVERED_MODELS)
    for name, seed in (("a", 1), ("b", 2), ("c", 3)):
        found.enrol(name, seed)
    return found


def rows_after(site: RecordedSite, folder: Path, models: ModelSet) -> list[Any]:
    return replayed(site.capture(folder), LOOK, means(models))


@pytest.mark.parametrize("whole", [0.5, WHOLE, 0.99])
@pytest.mark.parametrize("all_faces", [False, True])
def test_a_look_decides_by_the_threshold_of_then(
    site: RecordedSite, tmp_path: Path, whole: float, all_faces: bool
) -> None:
    for picture in (photo(1), photo(77), covered_photo(77)):
        site.match(picture, match_all_faces=all_faces)
    site.match(photo(2), further_pictures=(photo(2, size=120),))
    rows = rows_after(site, tmp_path / "c", calibrated(whole))
    assert differing(rows) == {}
    for row in rows:
        then = row.line.decision
        assert (row.now.applied, row.now.candidates) == (then.applied, then.candidates)
        assert (row.now.searched, row.now.pictures) == (then.searched, then.pictures)
    assert [len(row.now.searched) for row in rows[:3]] == [int(all_faces)] * 3


@pytest.mark.parametrize("cover", ["mouth", "eyes"])
def test_a_face_that_was_recognised_is_not_searched_among_the_covered_ones(tmp_path: Path, cover: Cover) -> None:
    """Under the threshold of now only the template with that cover would be recognised."""
    site = RecordedSite(models=calibrated(0.5))
    site.enrol("a", 1)
    site.match(covered_photo(1, cover))
    then = site.lines[0].decision
    assert (then.outcome, then.applied.cover) == ("matched", None)
    (row,) = rows_after(site, tmp_path / "c", calibrated())
    assert (row.now.outcome, row.now.applied, row.now.candidates) == ("matched", then.applied, then.candidates)


def test_a_stranger_of_then_is_searched_among_the_covered_ones(tmp_path: Path) -> None:
    """The whole face would be recognised under the threshold of now; under that of then only its cover is."""
    site = RecordedSite(models=COVERED_MODELS)
    site.enrol("a", 1)
    site.match(covered_photo(1))
    assert site.lines[0].decision.applied.cover == "mouth"
    now = calibrated()
    site.models = calibrated(covered=0.9999)
    site.match(covered_photo(1))
    assert site.lines[1].decision.outcome == "stranger", "the covers had a high threshold"
    rows = rows_after(site, tmp_path / "c", replace(now, embedder=calibrated(0.5).embedder))
    assert rows[1].now.applied.cover == "mouth", "the threshold of the whole faces of then is kept, so a cover decides"
    assert rows[1].now.outcome == "matched"


def test_the_person_of_then_is_compared_though_fewer_people_are_near_enough_now(
    site: RecordedSite, tmp_path: Path
) -> None:
    site.match(covered_photo(1))
    now = calibrated()
    now.embedder.fmr_curve = (replace_near(curve(WHOLE)[0], 0.999), *curve(WHOLE)[1:])
    for what_if, tier in ((LOOK, "look"), (WhatIf(), "decide")):
        (row,) = replayed(site.capture(tmp_path / tier), what_if, means(now))
        assert (row.tier, row.differences) == (tier, ())
        assert (row.now.outcome, row.now.applied) == ("matched", site.lines[0].decision.applied)


def replace_near(point: Any, threshold: float) -> Any:
    return type(point)(fmr=point.fmr, threshold=threshold)


def test_the_faces_beside_a_refused_one_are_those_of_then(site: RecordedSite, tmp_path: Path) -> None:
    placed = [(draw_face(77, 150, live=False), 240, 160), (draw_face(1, 150), 0, 0)]
    picture = encode_jpeg(draw_scene(640, 480, placed), quality=95)
    site.match(picture, liveness_mode="liveness_rgb", match_all_faces=True)
    then = site.lines[0].decision
    assert (then.error_code, [face.outcome for face in then.searched]) == (
        Code.LIVENESS_DETECT_FAIL,
        ["spoof", "matched"],
    )
    rows = rows_after(site, tmp_path / "c", calibrated(0.9999, 0.9999))
    assert differing(rows) == {}
    assert rows[0].now.searched == then.searched


def test_several_faces_are_those_of_then(site: RecordedSite, tmp_path: Path) -> None:
    picture = scene(draw_face(1, 200), draw_face(2, 190), draw_face(9, 90))
    site.match(picture, match_all_faces=True)
    site.match(picture)
    rows = rows_after(site, tmp_path / "c", calibrated(0.9999, 0.9999))
    assert differing(rows) == {}
    assert [row.now.searched for row in rows] == [line.decision.searched for line in site.lines]
