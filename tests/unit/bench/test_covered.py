from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from bench import covered
from bench.covered_figures import cover_curve, identified, splits_of
from bench.covered_set import LOOKS, CoveredSet
from bench.drawn_covers import draw_some_mask, draw_some_sunglasses
from engine.policy import Policy
from engine.vision.covering import FaceFrame
from engine.vision.networks.arcface import TEMPLATE
from tests.support.albums import album
from tests.support.covered import COVERED_MODELS

PEOPLE = {f"P{i:02d}": 2 if i < 24 else 1 for i in range(36)}


def bench(*arguments: object) -> Result:
    return CliRunner().invoke(covered.main, [str(argument) for argument in arguments])


def unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), np.float32)


@pytest.fixture
def seen() -> CoveredSet:
    """Forty people with two photos and twenty with one; a cover moves every face far in the same direction."""
    chance = np.random.default_rng(3)
    people = np.array([*np.repeat(np.arange(40), 2), *range(40, 60)])
    faces = unit(chance.normal(size=(60, 64)))[people]
    cover = unit(chance.normal(size=(1, 64)))
    plain, shown, drawn = (unit(faces + 0.02 * chance.normal(size=faces.shape)) for _ in range(3))
    covers = [unit(vectors + cover) for vectors in (shown, drawn)]
    probes = np.stack([plain, covers[0], covers[0]], axis=1)
    return CoveredSet(people, probes, np.stack([covers[1], covers[1]], axis=1), np.ones((len(people), len(LOOKS))))


def test_a_folder_of_people_gets_all_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PICTUREMATCH_MODELS__KIND", "stand-in")
    people, cache = album(tmp_path / "people", PEOPLE), tmp_path / "seen.npz"
    finished = bench(people, "--splits", 2, "--cache", cache)
    assert finished.exit_code == 0, finished.output
    for said in ("60 photos of 36 people; covers are drawn", "face mask", "sunglasses", "mean of both", "milliseconds"):
        assert said.replace("milliseconds", "ms of a core") in finished.output
    again = bench(people, "--splits", 2, "--cache", cache)
    assert "vectors are those kept" in again.output
    assert again.exit_code == 0


def test_a_file_that_is_no_cache_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PICTUREMATCH_MODELS__KIND", "stand-in")
    (tmp_path / "other").write_text("something else")
    finished = bench(album(tmp_path / "people", {"P1": 2}), "--cache", tmp_path / "other")
    assert finished.exit_code != 0
    assert "is not a file that --cache wrote" in finished.output


def test_covered_templates_recognise_more_covered_people_and_the_same_bare_ones(seen: CoveredSet) -> None:
    splits = splits_of(seen, 20, 3)
    embedder, off = COVERED_MODELS.embedder, Policy(covered_templates=False)
    assert identified(seen, "plain", splits, embedder, Policy()) == identified(seen, "plain", splits, embedder, off)
    before, after = (identified(seen, "mouth", splits, embedder, policy) for policy in (off, Policy()))
    assert (before.enrolled, before.strangers) == (20, 40)
    assert before.identified < 0.2
    assert after.identified > 0.9
    assert after.mistaken == 0


def test_a_curve_is_that_of_pairs_of_different_people(seen: CoveredSet) -> None:
    points, pairs = cover_curve(seen, "mouth", seen.template("mouth"))
    assert pairs == 100 * 60 - 100
    plain, _ = cover_curve(seen, "plain", seen.probe("plain"))
    assert points[0].threshold > plain[0].threshold, "covered strangers resemble each other"


@pytest.mark.parametrize("draw", [draw_some_mask, draw_some_sunglasses])
def test_the_drawings_of_a_measurement_differ_from_each_other_and_come_again(draw) -> None:
    image, frame = np.full((250, 250, 3), 130, np.uint8), FaceFrame.of(TEMPLATE + 70)
    one, other, again = (draw(image, frame, np.random.default_rng(seed)) for seed in (1, 2, 1))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    assert not np.array_equal(one, image)
