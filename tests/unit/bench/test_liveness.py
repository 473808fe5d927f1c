"""The rates that bench.liveness prints, and the sets it reads."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from bench.attacks import COLOUR_ATTACKS
from bench.face_sets import BadSet
from bench.infrared_attacks import INFRARED_ATTACKS, simulated_infrared
from bench.liveness_figures import Tally, in_order, judge
from bench.liveness_set import Look, labelled, made_from, photos_of
from engine.policy import Policy
from engine.vision.liveness import Liveness
from engine.vision.networks.standin import draw_face, draw_scene, stand_in_models
from engine.vision.ports import Check
from tests.support.faces import photo, scene

MODELS = stand_in_models()


def judgement(passed: bool) -> Liveness:
    return Liveness("liveness_rgb", (Check("rgb_live", 0.0, 0.5, passed),))


def test_an_attack_that_is_accepted_and_a_live_face_that_is_refused_are_wrong():
    live, attack = Tally("live", "liveness_rgb"), Tally("print", "liveness_rgb")
    for passed in (True, True, True, False):
        live.add(judgement(passed))
        attack.add(judgement(passed))
    attack.add(None)

    assert (live.rate, attack.rate) == (0.25, 0.75)
    assert (attack.judged, attack.without_face) == (4, 1)
    assert live.failed == attack.failed == {"rgb_live": 1}
    low, high = attack.interval
    assert (low, high) == pytest.approx((0.301, 0.954), abs=0.001)
    assert attack.as_dict()["rate_is"] == "APCER"
    assert live.as_dict()["rate_is"] == "BPCER"


def test_without_presentations_there_is_no_rate():
    empty = Tally("print", "liveness_rgb")
    assert (empty.rate, empty.interval) == (None, None)


def test_live_comes_first_and_colour_before_infrared():
    tallies = [Tally("a", "liveness_rgb_ir"), Tally("a", "liveness_rgb"), Tally("live", "liveness_rgb")]
    assert [(t.mode, t.label) for t in in_order(tallies)] == [
        ("liveness_rgb", "live"),
        ("liveness_rgb", "a"),
        ("liveness_rgb_ir", "a"),
    ]


def looks_of(path: Path) -> list[Look]:
    return [look for case in labelled(path) for look in case.looks(MODELS)]


def test_a_folder_and_a_csv_file_give_the_same_labelled_looks(tmp_path: Path):
    for label in ("live", "print"):
        (tmp_path / label).mkdir()
        (tmp_path / label / "a.jpg").write_bytes(photo(1))
    (tmp_path / "live" / "a.ir.jpg").write_bytes(photo(1, infrared=True))
    (tmp_path / "set.csv").write_text("file,label,ir\nlive/a.jpg,live,live/a.ir.jpg\nprint/a.jpg,print,\n")

    for path in (tmp_path, tmp_path / "set.csv"):
        looks = looks_of(path)
        assert [(look.label, look.infrared is not None) for look in looks] == [("live", True), ("print", False)]
        verdict = judge(looks[0], MODELS, Policy())
        assert verdict is not None
        assert verdict.passed


def test_a_set_that_cannot_be_used_is_told_in_a_sentence(tmp_path: Path):
    with pytest.raises(BadSet, match="holds no labelled picture"):
        labelled(tmp_path)
    with pytest.raises(BadSet, match="holds no photo"):
        photos_of(tmp_path)
    (tmp_path / "set.csv").write_text("name,kind\na,b\n")
    with pytest.raises(BadSet, match="line 2: file and label are needed"):
        labelled(tmp_path / "set.csv")


def test_of_a_live_photo_every_kind_of_attack_is_made_and_again_the_same(tmp_path: Path):
    for seed in (1, 2):
        (tmp_path / f"{seed}.jpg").write_bytes(scene(draw_face(seed), width=200, height=200))
    first, again = ([list(case.looks(MODELS)) for case in made_from(photos_of(tmp_path))] for _ in range(2))

    kinds = ["live", *COLOUR_ATTACKS, "live", *INFRARED_ATTACKS, "ir_other"]
    assert [[look.label for look in looks] for looks in first] == [kinds, kinds]
    for one, other in zip(first[0], again[0], strict=True):
        assert np.array_equal(one.colour, other.colour)
        assert one.infrared is None or np.array_equal(one.infrared, other.infrared)


def test_pictures_that_are_made_are_pictures_and_differ_from_their_photo():
    drawn = draw_scene(320, 240, [(draw_face(1, 120), 90, 60)])
    face = MODELS.detector(drawn)[0]
    made = [make(drawn, face.box, 1) for make in COLOUR_ATTACKS.values()]
    made += [simulated_infrared(drawn, face, 1)]
    for image in made:
        assert image.dtype == np.uint8
        assert image.ndim == 3
        assert not np.array_equal(cv2.resize(image, (320, 240)), drawn)
