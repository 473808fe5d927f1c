from pathlib import Path

import numpy as np
import orjson
import pytest
from click.testing import CliRunner, Result

from bench import accuracy
from bench.face_sets import BadSet, draw_pairs, photos_of_people, read_pairs
from engine.evaluation.photos import most_centred
from engine.vision.decode.jpeg import encode_jpeg
from engine.vision.networks.standin import detect, draw_face, draw_scene
from tests.support.albums import album

PEOPLE = {f"P{i:02d}": 2 if i < 24 else 1 for i in range(36)}


@pytest.fixture
def people(tmp_path: Path) -> Path:
    return album(tmp_path / "people", PEOPLE)


@pytest.fixture(autouse=True)
def drawn_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PICTUREMATCH_MODELS__KIND", "stand-in")


def bench(*arguments: object) -> Result:
    return CliRunner().invoke(accuracy.main, [str(argument) for argument in arguments])


def test_a_folder_of_people_gets_all_figures(people: Path, tmp_path: Path):
    (people / "P00" / "nobody.jpg").write_bytes(encode_jpeg(draw_scene(160, 140)))
    (people / "P01" / "broken.jpg").write_bytes(b"\xff\xd8 broken")
    finished = bench(people, "--json", tmp_path / "figures.json")
    assert finished.exit_code == 0, finished.output
    for said in ("62 photos of 36 people", "No face found in 1, not usable 1", "gallery of 24 people", "AUC"):
        assert said in finished.output
    figures = orjson.loads((tmp_path / "figures.json").read_bytes())
    assert figures["source"]["networks"]["embedder"] == "stand-in-embedder-r1"
    assert figures["all_pairs"]["genuine"] == 24
    assert figures["all_pairs"]["impostor"] == 60 * 59 // 2 - 24
    assert figures["all_pairs"]["equal_error"]["rate"] < 0.05
    assert figures["verification"]["accuracy"] > 0.9
    searched = figures["open_set"]
    assert (searched["gallery"], searched["probes"], searched["strangers"]) == (24, 24, 12)
    assert searched["at_applied"]["threshold"] == pytest.approx(0.5)
    assert [point["fpir"] for point in searched["points"]] == [0.1]
    assert set(figures["rejection"]["curves"]) >= {"quality score", "embedding norm"}


def test_a_face_that_is_not_found_costs_accuracy_in_genuine_pairs_only(people: Path, tmp_path: Path):
    (people / "P00" / "P00_0002.jpg").write_bytes(encode_jpeg(draw_scene(160, 140)))
    lines = ["fold,image_a,image_b,same"]
    for fold in (1, 2):
        for i in range(12 * (fold - 1), 12 * fold):
            lines += [f"{fold},P{i:02d}/P{i:02d}_0001.jpg,P{i:02d}/P{i:02d}_0002.jpg,1"]
            lines += [f"{fold},P{i:02d}/P{i:02d}_0002.jpg,P{(i + 1) % 24:02d}/P{(i + 1) % 24:02d}_0001.jpg,0"]
    (people / "pairs.csv").write_text("\n".join(lines))
    finished = bench(people, "--json", tmp_path / "figures.json")
    assert finished.exit_code == 0, finished.output
    told = orjson.loads((tmp_path / "figures.json").read_bytes())["verification"]
    assert (told["genuine"], told["impostor"], told["unseen"]) == (24, 24, 2)
    assert [fold["pairs"] for fold in told["folds"]] == [24, 24]
    assert told["folds"][0]["accuracy"] == pytest.approx(23 / 24)


def test_kept_vectors_give_the_same_figures_until_a_photo_changes(people: Path, tmp_path: Path):
    first = bench(people, "--cache", tmp_path / "seen", "--json", tmp_path / "one.json")
    again = bench(people, "--cache", tmp_path / "seen", "--json", tmp_path / "two.json")
    assert (first.exit_code, again.exit_code) == (0, 0)
    assert "kept in" not in first.stderr
    assert "kept in" in again.stderr
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    assert (tmp_path / "seen").stat().st_mode & 0o077 == 0
    (people / "P00" / "P00_0001.jpg").write_bytes(encode_jpeg(draw_scene(100, 100)))
    assert "kept in" not in bench(people, "--cache", tmp_path / "seen").stderr


def test_a_cache_that_is_something_else_is_refused(people: Path, tmp_path: Path):
    (tmp_path / "notes").write_text("mine")
    finished = bench(people, "--cache", tmp_path / "notes")
    assert finished.exit_code == 2
    assert "not a file that --cache wrote" in finished.stderr
    assert (tmp_path / "notes").read_text() == "mine"


def test_without_the_default_photos_it_says_that_it_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    finished = bench()
    assert finished.exit_code == 0
    assert finished.output.startswith("skipped: ")


def test_a_path_that_is_not_there_is_an_error(tmp_path: Path):
    finished = bench(tmp_path / "none")
    assert finished.exit_code == 2
    assert "is not a folder" in finished.stderr


def test_without_matplotlib_plots_are_refused_before_the_work(people: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    finished = bench(people, "--plots", people / "plots")
    assert finished.exit_code == 2
    assert "pip install -e '.[plots]'" in finished.stderr


def test_plots_are_pictures(people: Path, tmp_path: Path):
    finished = bench(people, "--plots", tmp_path / "plots")
    assert finished.exit_code == 0, finished.output
    drawn = {path.name: path.read_bytes() for path in (tmp_path / "plots").iterdir()}
    assert set(drawn) == {"roc.png", "scores.png", "reject.png"}
    assert all(data.startswith(b"\x89PNG") and len(data) > 5_000 for data in drawn.values())


@pytest.mark.parametrize(
    ("photos", "why"),
    [
        ({"A": 1, "B": 1, "C": 1}, "no two photos show one person; give people with several photos"),
        ({"A": 3}, "all photos show one person; give photos of several people"),
    ],
)
def test_a_plot_whose_kind_of_pair_is_missing_is_left_out_and_named(tmp_path: Path, photos: dict[str, int], why: str):
    folder = album(tmp_path / "people", photos)
    finished = bench(folder, "--plots", tmp_path / "plots")
    assert finished.exit_code == 0, finished.output
    assert f"roc.png is not drawn: {why}" in finished.output
    assert f"scores.png is not drawn: {why}" in finished.output
    assert not {path.name for path in (tmp_path / "plots").iterdir()} - {"reject.png"}


def test_with_two_photos_of_one_person_and_one_of_another_all_plots_are_drawn(tmp_path: Path):
    finished = bench(album(tmp_path / "people", {"A": 2, "B": 1}), "--plots", tmp_path / "plots")
    assert finished.exit_code == 0, finished.output
    assert "not drawn" not in finished.output
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {"roc.png", "scores.png", "reject.png"}


def test_the_face_in_the_middle_is_chosen_by_its_own_size():
    big, small = draw_face(1, 120), draw_face(2, 30)
    image = draw_scene(400, 300, [(big, 120, 90), (small, 250, 135)])
    faces = detect(image)
    assert len(faces) == 2
    assert most_centred(image, faces).box.width > 100
    aside = draw_scene(400, 300, [(big, 0, 0), (draw_face(2, 60), 170, 120)])
    assert most_centred(aside, detect(aside)).box.width < 70


def test_likely_wrong_labels_are_listed_by_file_name_and_the_figures_given_without_them(tmp_path: Path):
    folder = album(tmp_path / "people", {f"P{i:02d}": 2 if i < 20 else 1 for i in range(60)})
    (folder / "Twin").mkdir()
    (folder / "Twin" / "photo.jpg").write_bytes((folder / "P30" / "P30_0001.jpg").read_bytes())
    (folder / "P03" / "P03_0002.jpg").write_bytes((folder / "P31" / "P31_0001.jpg").read_bytes())
    finished = bench(folder, "--json", tmp_path / "figures.json")
    assert finished.exit_code == 0, finished.output
    figures = orjson.loads((tmp_path / "figures.json").read_bytes())
    different = {(pair["first"], pair["second"]) for pair in figures["doubts"]["different"]}
    assert different == {("P30/P30_0001.jpg", "Twin/photo.jpg"), ("P03/P03_0002.jpg", "P31/P31_0001.jpg")}
    assert ("P03/P03_0001.jpg", "P03/P03_0002.jpg") in {(p["first"], p["second"]) for p in figures["doubts"]["same"]}
    assert "P30/P30_0001.jpg  Twin/photo.jpg" in finished.stdout
    tail = figures["all_pairs"]["rows"][-1]
    assert tail["fmr"] == 1e-3
    assert tail["clean_threshold"] < tail["threshold"]
    assert tail["clean_fnmr"] < tail["fnmr"]


def test_each_plus_minus_has_a_name_and_skipped_sizes_are_named(people: Path):
    printed = " ".join(bench(people).stdout.split())
    for said in ("(standard error over folds)", "Wilson 95 %", "deviation between draws", "at most 5 pairs a person"):
        assert said in printed
    assert "Groups of 30, 100, 300, 1,000, 3,000 faces: skipped" in printed


def test_photos_deep_in_a_persons_folder_are_that_persons(tmp_path: Path):
    for name in ("A/one.jpg", "A/day/two.PNG", "B/x.webp", "loose.jpg", "B/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert {p.name: person for p, person in photos_of_people(tmp_path).items()} == {
        "one.jpg": "A",
        "two.PNG": "A",
        "x.webp": "B",
    }


def test_drawn_folds_share_nobody_and_are_the_same_every_time():
    photos = {Path(f"{person}/{n}.jpg"): str(person) for person in range(60) for n in range(3)}
    drawn = draw_pairs(photos)
    assert drawn == draw_pairs(photos)
    assert sum(pair.same for pair in drawn) == sum(not pair.same for pair in drawn) == 180
    for pair in drawn:
        assert (photos[pair.first] == photos[pair.second]) is pair.same
    fold_of: dict[str, int] = {}
    for pair in drawn:
        for path in (pair.first, pair.second):
            assert fold_of.setdefault(photos[path], pair.fold) == pair.fold


def test_lfws_own_pairs_file_is_read(people: Path):
    lines = ["2\t2", "P00\t1\t2", "P01\t2\t1", "P02\t1\tP03\t2", "P04\t2\tP05\t1"]
    lines += ["P06\t1\t2", "P07\t1\t2", "P08\t1\tP09\t1", "P10\t1\tP11\t2"]
    (people / "pairs.txt").write_text("\n".join(lines) + "\n")
    pairs = read_pairs(people / "pairs.txt", people)
    assert [pair.fold for pair in pairs] == [1, 1, 1, 1, 2, 2, 2, 2]
    assert [pair.same for pair in pairs] == [True, True, False, False] * 2
    assert pairs[1].first == people / "P01" / "P01_0002.jpg"
    assert pairs[2].second == people / "P03" / "P03_0002.jpg"


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("pairs.csv", "a,b\n1,2\n", "needs the columns"),
        ("pairs.csv", "fold,image_a,image_b,same\n1,P00/P00_0001.jpg,P00/P00_0002.jpg,yes\n", "line 2"),
        ("pairs.csv", "fold,image_a,image_b,same\n1,P00/none.jpg,P00/P00_0002.jpg,1\n", "is not there"),
        ("pairs.csv", "fold,image_a,image_b,same\n", "no pair"),
        ("pairs.txt", "hello\n", "does not begin"),
        ("pairs.txt", "1 1\nP00 1 P01 1\n", "line 2: expected NAME N N"),
        ("pairs.txt", "1 1\nP00 1 2\nP01 1 2\n", "line 3: expected NAME N NAME N"),
        ("pairs.txt", "1 1\nP00 x 2\n", "line 2"),
        ("pairs.txt", "", "does not begin"),
    ],
)
def test_a_pairs_file_that_cannot_be_used_says_why(people: Path, name: str, text: str, sentence: str):
    (people / name).write_text(text)
    with pytest.raises(BadSet, match=sentence):
        read_pairs(people / name, people)


def test_people_too_few_for_an_open_set_still_get_the_other_figures(tmp_path: Path):
    folder = album(tmp_path / "two", {"A": 2, "B": 2})
    finished = bench(folder, "--json", tmp_path / "figures.json")
    assert finished.exit_code == 0, finished.output
    figures = orjson.loads((tmp_path / "figures.json").read_bytes())
    assert figures["all_pairs"]["impostor"] == 4
    assert np.isfinite(figures["all_pairs"]["equal_error"]["rate"])
