"""The figures of several photos of each person are those of the engine's gallery, computed on made-up faces."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import orjson
import pytest
from click.testing import CliRunner

from bench.face_sets import BadSet
from bench.people import name_of
from bench.template_figures import MOST_PHOTOS, RULES, TARGETS, draw, measure, promises, searched, templates_of
from bench.templates import main
from contract.people.held import HeldPerson
from contract.people.records import PersonRecord
from contract.vectors import Vectors
from engine.evaluation.openset import NEVER
from engine.gallery.exact import ExactIndex
from engine.gallery.port import Scope
from engine.gallery.templates import Templates
from models.manifest import FmrPoint
from tests.support.albums import album

DIMENSION = 24


class Curved:
    threshold = 0.4
    fmr_curve = (FmrPoint(fmr=1e-2, threshold=0.5), FmrPoint(fmr=1e-4, threshold=0.7))


@pytest.fixture(scope="module")
def rows_of() -> dict[str, list[int]]:
    """Twelve people with five photos each, and thirty with one."""
    return {
        **{name_of(n): list(range(5 * n, 5 * n + 5)) for n in range(12)},
        **{name_of(n): [48 + n] for n in range(12, 42)},
    }


@pytest.fixture(scope="module")
def vectors(rows_of: dict[str, list[int]]) -> Vectors:
    """Photos that are as far from their person's face as people are from each other, so that some are missed."""
    chance = np.random.default_rng(3)
    found = np.zeros((90, DIMENSION))
    for rows in rows_of.values():
        found[rows] = chance.normal(size=DIMENSION) + chance.normal(size=(len(rows), DIMENSION))
    unit: Vectors = (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)
    return unit


def test_a_draw_enrols_who_has_enough_photos_and_searches_with_another_one(rows_of: dict[str, list[int]]) -> None:
    drawn = draw(rows_of, 1)
    assert drawn.enrolled.shape == (12, MOST_PHOTOS)
    enrolled = [who for who in sorted(rows_of) if len(rows_of[who]) == 5]
    for who, faces, probe in zip(enrolled, drawn.enrolled.tolist(), drawn.probes.tolist(), strict=True):
        assert len({*faces, probe}) == MOST_PHOTOS + 1
        assert {*faces, probe} <= set(rows_of[who])
    assert drawn.strangers.tolist() == list(range(60, 90))
    assert not np.array_equal(drawn.probes, draw(rows_of, 2).probes)


@pytest.mark.parametrize("rows", [{"a": [0, 1, 2, 3]}, {"a": [0, 1, 2], "b": [3]}])
def test_people_and_strangers_are_needed(rows: dict[str, Sequence[int]]) -> None:
    with pytest.raises(BadSet, match="more than 3 photos are needed"):
        draw(rows, 0)


def test_one_photo_is_compared_alone_and_several_with_their_mean(vectors: Vectors) -> None:
    assert [len(templates_of(vectors[:1], rule)) for rule in RULES] == [1, 1, 1]
    assert [len(templates_of(vectors[:3], rule)) for rule in RULES] == [3, 1, 4]


@pytest.mark.parametrize("photos", [1, 2, 3])
def test_the_rule_that_ships_finds_what_the_gallery_finds(
    vectors: Vectors, rows_of: dict[str, list[int]], photos: int
) -> None:
    drawn = draw(rows_of, 5)
    templates = Templates(ExactIndex(DIMENSION))
    for person, rows in enumerate(drawn.enrolled):
        numbers = tuple(range(photos))
        record = HeldPerson.of(
            PersonRecord(identity_id=f"{person:02}", group_ids=("g",), info={}, faces=numbers, next_face=photos)
        )
        templates.put_person(record.identity_id, None, record)
        for number in numbers:
            templates.put_face((record.identity_id, number), vectors[rows[number]], record)
    gallery, scope = templates.gallery(1), Scope("g", means=True)
    scores, count = searched(vectors, drawn, photos, "both")
    assert count == gallery.count(scope)
    firsts = [gallery.best(vectors[row], scope, 1)[0] for row in (*drawn.probes, *drawn.strangers)]
    genuine = [
        c.cosine if int(c.person.identity_id) == person else float(NEVER) for person, c in enumerate(firsts[:12])
    ]
    assert scores.genuine == pytest.approx(np.sort(genuine), abs=3e-5)
    assert scores.impostor == pytest.approx(np.sort([c.cosine for c in firsts[12:]]), abs=3e-5)


def test_every_rule_has_its_figures_and_more_photos_miss_fewer(vectors: Vectors, rows_of: dict[str, list[int]]) -> None:
    figures = measure(vectors, [draw(rows_of, seed) for seed in range(20)], Curved())
    assert [(found.photos, found.rule) for found in figures] == [
        (1, "faces"),
        *((photos, rule) for photos in (2, 3) for rule in ("faces", "mean", "both")),
    ]
    assert [found.templates for found in figures] == [12, 24, 12, 36, 36, 12, 48]
    assert figures[-1].not_first < figures[0].not_first
    assert [at.target for at in figures[0].at] == list(TARGETS)
    one, three = figures[0].at[0].shipped.threshold, figures[-1].at[0].shipped.threshold
    assert one < three, "the threshold rises with the templates that are compared"


def test_the_promise_is_given_for_every_size_and_stricter_with_the_means_counted(
    vectors: Vectors, rows_of: dict[str, list[int]]
) -> None:
    found = promises(vectors, rows_of, 5, Curved())
    assert [(each.photos, each.people) for each in found] == [(1, 21), (2, 12), (3, 12)]
    assert found[0].kept == found[0].faces_alone
    for each in found[1:]:
        assert all(kept <= alone for kept, alone in zip(each.kept, each.faces_alone, strict=True))


def test_the_command_prints_and_writes_the_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PICTUREMATCH_MODELS__KIND", "stand-in")
    folder = album(tmp_path / "people", {**{f"n{i}": 4 for i in range(4)}, **{f"s{i}": 1 for i in range(6)}})
    out = tmp_path / "figures.json"
    result = CliRunner().invoke(main, [str(folder), "--draws", "2", "--json", str(out), "--threads", "1"])
    assert result.exit_code == 0, result.output
    assert "4 people enrolled" in result.output
    report = orjson.loads(out.read_bytes())
    assert len(report["figures"]) == 7
    assert report["figures"][-1]["templates"] == 16
    assert report["strangers"] == 6
