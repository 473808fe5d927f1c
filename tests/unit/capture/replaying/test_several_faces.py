"""Pictures in which several faces were searched for, decided again: never silently with the wrong face."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from capture.replaying.several import SEVERAL_FACES
from capture.replaying.whatif import WhatIf
from engine.policy import Policy
from engine.vision.decode.jpeg import encode_jpeg
from engine.vision.networks.standin import draw_face, draw_scene
from tests.support.faces import photo, scene
from tests.support.recorded_site import RecordedSite
from tests.support.replays import differing, means, replayed

LOOK = WhatIf(look=True)


def two(middle: tuple[int, int], side: tuple[int, int], **at_side: Any) -> bytes:
    placed = [(draw_face(*middle), 240, 160), (draw_face(*side, **at_side), 0, 0)]
    return encode_jpeg(draw_scene(640, 480, placed), quality=95)


@pytest.fixture
def site() -> RecordedSite:
    site = RecordedSite()
    for identity_id, seed in (("a", 1), ("b", 2), ("c", 3)):
        site.enrol(identity_id, seed)
    return site


def everything(site: RecordedSite) -> None:
    site.match(two((1, 150), (77, 156)))
    site.match(two((77, 150), (1, 156)))
    site.match(two((77, 150), (78, 150)))
    site.match(two((77, 150), (1, 156), live=False), liveness_mode="liveness_rgb")
    site.match(scene(draw_face(1, 200), draw_face(2, 100), draw_face(9, 90)), match_all_faces=True)
    site.match(photo(1), match_all_faces=True)
    site.match(scene(), match_all_faces=True)
    site.match(photo(3))


def test_nothing_differs_where_nothing_is_changed(site: RecordedSite, tmp_path: Path) -> None:
    everything(site)
    folder = site.capture(tmp_path / "c")
    rows = replayed(folder, given=means(None))
    assert differing(rows) == {}
    assert {row.tier for row in rows} == {"decide"}
    for row in rows:
        assert row.now == row.line.decision, "every field comes out again"
    looked = replayed(folder, LOOK)
    assert differing(looked) == {}
    assert [row.now.searched for row in looked] == [row.line.decision.searched for row in looked]
    assert [len(row.now.searched) for row in looked] == [2, 2, 2, 2, 3, 1, 0, 0]


@pytest.mark.parametrize("what_if", [WhatIf(threshold=0.9999), WhatIf(target_fpir=0.2), WhatIf(quality="high")])
def test_a_changed_decision_between_several_faces_is_made_from_the_picture(
    site: RecordedSite, tmp_path: Path, what_if: WhatIf
) -> None:
    everything(site)
    rows = replayed(site.capture(tmp_path / "c"), what_if)
    assert [row.trouble for row in rows] == [None] * 8
    assert [row.tier for row in rows][:5] == ["look"] * 5
    if what_if.threshold is not None:
        assert [row.tier for row in rows][5:] == ["decide"] * 3, "one face is decided from its embedding"
        (identity, *_) = [row.now.identity_id for row in rows]
        assert identity == ""


def test_without_networks_a_changed_decision_between_several_faces_says_that_it_needs_a_look(
    site: RecordedSite, tmp_path: Path
) -> None:
    everything(site)
    rows = replayed(site.capture(tmp_path / "c"), WhatIf(threshold=0.9999), means(None))
    assert [bool(row.trouble) for row in rows] == [True] * 5 + [False] * 3
    assert all(SEVERAL_FACES in (row.trouble or "") for row in rows[:5])


def test_other_people_may_change_which_face_is_answered(site: RecordedSite, tmp_path: Path) -> None:
    site.match(two((77, 150), (1, 156)))
    site.delete("a")
    site.enrol("late", 77)
    site.match(photo(1))
    rows = replayed(site.capture(tmp_path / "c"), WhatIf(gallery_version=site.people.version))
    assert rows[0].tier == "look"
    assert rows[0].now.identity_id == "late"
    assert [face.answered for face in rows[0].now.searched] == [True, False]


def test_the_only_face_of_a_request_for_all_faces_is_decided_again_with_the_decision(
    site: RecordedSite, tmp_path: Path
) -> None:
    site.match(photo(1, size=60), match_all_faces=True)
    (row,) = replayed(site.capture(tmp_path / "c"), WhatIf(threshold=0.9999), given=means(None))
    (face,) = row.now.searched
    assert (row.tier, row.now.outcome) == ("decide", "stranger")
    assert (face.outcome, face.retcode, face.identity_id, face.score) == ("stranger", "0", "", row.now.score)


def test_policies_of_before_the_setting_replay_with_the_largest_face(site: RecordedSite, tmp_path: Path) -> None:
    site.policy = Policy(face="largest")
    site.match(two((1, 150), (77, 156)))
    folder = site.capture(tmp_path / "c")
    config = folder / "configs.jsonl"
    assert b'"face":"largest"' in config.read_bytes()
    assert site.lines[-1].decision.searched == ()
    (row,) = replayed(folder, LOOK)
    assert differing([row]) == {}
    assert row.now.outcome == "stranger"
    settings = msgspec.to_builtins(Policy())
    assert settings["face"] == "chosen"


def test_one_face_is_decided_from_its_embedding_whatever_rule_chooses_faces(site: RecordedSite, tmp_path: Path) -> None:
    """The rule is a parameter of the look, and makes no difference in a picture of one face."""
    site.match(photo(1))
    site.policy = Policy(face="largest")
    site.match(photo(2))
    rows = replayed(site.capture(tmp_path / "c"), WhatIf(threshold=0.6), means(None))
    assert [(row.tier, row.trouble) for row in rows] == [("decide", None)] * 2


def test_another_person_in_another_face_is_a_difference_where_all_faces_were_asked_for(
    site: RecordedSite, tmp_path: Path
) -> None:
    picture = scene(draw_face(1, 200), draw_face(2, 100))
    site.match(picture, match_all_faces=True)
    site.delete("b")
    site.match(photo(1))
    rows = replayed(site.capture(tmp_path / "c"), WhatIf(gallery_version=site.people.version))
    assert differing(rows) == {1: [("faces", "matched a, matched b", "matched a, stranger")]}
