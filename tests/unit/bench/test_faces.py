"""The benchmark of the rules that choose a face, on drawn people."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from bench import faces
from bench.face_rules import SeenPhoto, figures_of, owners, rules, see, shipped, two_people
from engine.vision.decode.jpeg import encode_jpeg
from engine.vision.networks.standin import draw_face, draw_scene
from tests.support.albums import album
from tests.support.faces import MODELS

PEOPLE = {f"P{i:02d}": 2 if i < 12 else 1 for i in range(20)}


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """An album in which a larger bystander is at the side of one photo."""
    folder = album(tmp_path / "people", PEOPLE)
    alone, crowded = sorted((folder / "P00").iterdir())
    person, bystander = draw_face(900, 100), draw_face(901, 106)
    alone.write_bytes(encode_jpeg(draw_scene(400, 300, [(person, 150, 100)]), quality=95))
    crowded.write_bytes(encode_jpeg(draw_scene(400, 300, [(person, 150, 100), (bystander, 2, 2)]), quality=95))
    return folder


def seen(folder: Path) -> list[SeenPhoto]:
    photos = [see(path, path.parent.name, MODELS) for path in sorted(folder.rglob("*.jpg"))]
    return [photo for photo in photos if photo is not None]


def test_the_table_has_every_rule_and_what_the_second_face_changes(
    people: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PICTUREMATCH_MODELS__KIND", "stand-in")
    finished = CliRunner().invoke(faces.main, [str(people)])
    assert finished.exit_code == 0, finished.output
    for said in ("32 photos with faces, 1 of them with several", "all of them (ships)", "two people side by side"):
        assert said in finished.output
    assert "in the photos with a rival" in finished.output


def test_the_shipped_rule_takes_the_person_where_the_largest_face_is_a_bystander(people: Path) -> None:
    photos = seen(people)
    truth, found = owners(photos), rules()
    assert figures_of(found["largest"], photos, truth).wrong[0] == 1
    assert figures_of(found["all of them (ships)"], photos, truth).wrong[0] == 0
    assert sum(shipped(photo).rival is not None for photo in photos) == 1


def test_a_rival_gives_somebody_who_stands_beside_a_stranger_a_second_chance(people: Path) -> None:
    photos = seen(people)
    found = two_people(photos, owners(photos), MODELS.embedder)
    largest, chosen, both = found.fnir
    assert both < chosen
    assert both < largest
    assert np.isclose(both, 0.0)


def test_a_folder_without_people_is_refused(tmp_path: Path) -> None:
    finished = CliRunner().invoke(faces.main, [str(tmp_path)])
    assert finished.exit_code == 2
    assert "holds no folder of photos" in finished.output
