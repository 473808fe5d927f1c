import dataclasses
import errno
import json
import os
import re
import shutil
import tomllib
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from clients.picture_file import MAX_PICTURE_BYTES
from engine.evaluation.scores import scores_of
from engine.policy import Policy
from engine.threshold import threshold_at
from engine.vision.decode.jpeg import encode_jpeg
from engine.vision.networks.standin import draw_face, draw_scene, stand_in_models
from engine.vision.ports import ModelSet
from models.errors import BadManifest
from models.manifest import FmrPoint, load_manifest
from picturematch.calibration import (
    calibrate,
    manifest_fragment,
    require_writable,
    write_fragment,
)
from picturematch.commands.calibrate import command
from picturematch.shell import Steps, progress
from tests.support.albums import album, portrait

IDENTITY = "ab" * 32 + "-r1"
CURVE = (FmrPoint(fmr=1e-3, threshold=0.31), FmrPoint(fmr=1e-5, threshold=0.452))
REFERENCE = (FmrPoint(fmr=1e-3, threshold=0.2), FmrPoint(fmr=1e-4, threshold=0.3), FmrPoint(fmr=1e-6, threshold=0.4))


@dataclasses.dataclass(frozen=True)
class CurvedEmbedder:
    """The stand-in, with a curve."""

    fmr_curve: tuple[FmrPoint, ...] = REFERENCE
    dimension = stand_in_models().embedder.dimension
    threshold = stand_in_models().embedder.threshold
    __call__ = stand_in_models().embedder.__class__.__call__


def models() -> ModelSet:
    identities = (("detector", "d"), ("embedder", IDENTITY))
    return dataclasses.replace(stand_in_models(), embedder=CurvedEmbedder(), identities=identities)


@pytest.fixture(autouse=True)
def drawn_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PICTUREMATCH_MODELS__KIND", "stand-in")
    monkeypatch.delenv("PICTUREMATCH_MODELS__MANIFEST", raising=False)
    monkeypatch.setattr("picturematch.commands.calibrate.open_models", lambda _settings: models())


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough people for a curve: 146 of them are more than 10,000 pairs."""
    people = {f"Q{i:03d}": 2 if i < 3 else 1 for i in range(146)}
    folder = album(tmp_path_factory.mktemp("crowd") / "people", people)
    (folder / "Q001" / "empty.jpg").write_bytes(encode_jpeg(draw_scene(120, 120)))
    (folder / "Q002" / "notes.txt").write_text("no photo")
    return folder


def run(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def test_the_operators_photos_give_a_table_and_a_curve(crowd: Path):
    finished = run(crowd, "--people", 50, "--people", 1000)
    assert finished.exit_code == 0, finished.output
    out = finished.stdout
    assert "149 photos of 146 people: 3 pairs of one person, 11023 of different people" in out
    assert "left out: 1 not usable, 1 without a face" in out
    assert "FPIR among 50" in out
    assert "FPIR among 1000" in out
    rows = re.findall(r"^(1e-\d\d)\s.*$", out, re.M)
    assert rows == ["1e-02", "1e-03", "1e-04", "1e-05", "1e-06"]
    assert [("extrapolated" in line) for line in re.findall(r"^1e-.*$", out, re.M)] == [False, False, True, True, True]
    printed = tomllib.loads(out[out.index("[[curves]]") :])["curves"][0]
    assert printed["embedder"] == IDENTITY
    assert [point["fmr"] for point in printed["fmr_curve"]] == [1e-2, 1e-3, 1e-4, 1e-5, 1e-6]
    assert "extrapolated from 1e-04 on" in printed["measured_on"]
    # the stand-in's patterns are nearly orthogonal: a cosine of 0 with a deviation of 1/16
    assert 0.1 < printed["fmr_curve"][0]["threshold"] < 0.19
    assert "Q001" not in finished.output


def test_a_curve_is_added_to_a_manifest_and_counts_for_its_embedder(crowd: Path, tmp_path: Path):
    own = tmp_path / "own.toml"
    own.write_text("# ours\n")
    finished = run(crowd, "--write", own)
    assert finished.exit_code == 0, finished.output
    assert f"wrote {own}; the curve is used when the setting models.manifest names this file" in finished.stdout
    assert own.read_text().startswith("# ours\n")
    curve = load_manifest(own).embedder_of(IDENTITY).fmr_curve
    assert len(curve) == 5
    assert f"{threshold_at(curve, 0.01 / 146):.3f} by this curve" in finished.stdout
    again = run(crowd, "--write", own)
    assert again.exit_code == 2
    assert "contains a curve of this embedder already" in again.stderr


def test_too_few_people_get_their_table_but_no_curve(tmp_path: Path):
    folder = album(tmp_path / "few", {f"R{i}": 1 for i in range(50)})
    finished = run(folder, "--write", tmp_path / "new.toml")
    assert finished.exit_code == 1
    assert re.findall(r"^(1e-\d\d)", finished.stdout, re.M) == ["1e-02"]
    assert "1225 pairs of different people are too few, 10000 are needed" in finished.stderr
    assert "[[curves]]" not in finished.stdout
    assert not (tmp_path / "new.toml").exists()


def test_somebody_under_two_names_is_noticed_and_named_only_when_asked_for(tmp_path: Path):
    folder = album(tmp_path / "people", {f"S{i}": 1 for i in range(20)})
    (folder / "Twin").mkdir()
    (folder / "Twin" / "photo.jpg").write_bytes(encode_jpeg(portrait(1003, 2)))
    silent, named = run(folder), run(folder, "--suspects")
    for finished in (silent, named):
        assert "is the score of 1 pair of different people" in finished.stderr
    assert "Twin" not in silent.output
    first = named.stdout.split("the most similar photos of different people:\n")[1].splitlines()[0]
    assert first.split()[1:] == ["S3/S3_0001.jpg", "Twin/photo.jpg"]


def test_pairs_with_likely_wrong_labels_can_be_left_out_of_the_curve(crowd: Path, tmp_path: Path):
    folder = tmp_path / "people"
    shutil.copytree(crowd, folder)
    for number in range(100, 112):
        (folder / f"Twin{number}").mkdir()
        shutil.copy(folder / f"Q{number}" / f"Q{number}_0001.jpg", folder / f"Twin{number}" / "photo.jpg")
    with_all, without = run(folder), run(folder, "--leave-out-suspects")
    assert (with_all.exit_code, without.exit_code) == (0, 0), without.output
    assert "12 likely wrong; they are left out" in without.stderr
    curves = [tomllib.loads(f.stdout[f.stdout.index("[[curves]]") :])["curves"][0] for f in (with_all, without)]
    assert "without 12 with likely wrong labels" in curves[1]["measured_on"]
    rare = [next(p["threshold"] for p in curve["fmr_curve"] if p["fmr"] == 1e-3) for curve in curves]
    assert rare[1] < rare[0] - 0.03


@pytest.mark.parametrize(
    ("face", "said", "different"),
    [
        ("only", "left out: 1 with several faces", 3),
        ("largest", "several faces: 1 photo; the largest counts", 6),
        ("centred", "several faces: 1 photo; the most central counts", 6),
    ],
)
def test_photos_with_bystanders_are_left_out_unless_a_face_is_chosen(
    tmp_path: Path, face: str, said: str, different: int
):
    folder = album(tmp_path / "people", {"V0": 1, "V1": 1, "V2": 1})
    (folder / "V3").mkdir()
    two = draw_scene(400, 300, [(draw_face(1, 120), 20, 20), (draw_face(2, 60), 250, 135)])
    (folder / "V3" / "both.jpg").write_bytes(encode_jpeg(two))
    finished = run(folder, "--face", face)
    assert said in finished.stdout
    assert f"{different} of different people" in finished.stdout
    if face == "only":
        assert finished.stdout == run(folder).stdout
        assert "V3/both.jpg: 2 faces found" in run(folder, "--verbose").stderr


def test_the_table_of_large_galleries_needs_no_photos_and_marks_what_is_extrapolated():
    finished = run("--table")
    assert finished.exit_code == 0, finished.output
    lines = finished.stdout.splitlines()
    assert lines[0] == "| faces | FPIR 0.01 | FPIR 0.003 | FPIR 0.001 |"
    assert lines[2] == f"| 1,000 | {threshold_at(REFERENCE, 1e-5):.3f} | {threshold_at(REFERENCE, 3e-6):.3f} | 0.400 |"
    assert lines[3] == "| 10,000 | 0.400 | 0.426 * | 0.450 * |"
    assert lines[-1] == "* extrapolated: the curve ends at a false match rate of 1e-06"


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (["photos"], "leave out PATH, or leave out --table"),
        (["--write", "manifest.toml"], "leave out --write, or leave out --table"),
        (["photos", "--people", "5", "--suspects"], "leave out PATH, --people, --suspects, or leave out --table"),
        (["--face", "only"], "leave out --face, or"),
        (["--threads", "2"], "leave out --threads, or"),
    ],
)
def test_what_has_no_effect_beside_the_table_is_refused(tmp_path: Path, monkeypatch, given: list[str], named: str):
    monkeypatch.chdir(tmp_path)
    finished = run("--table", *given)
    assert (finished.exit_code, finished.stdout) == (2, "")
    assert named in " ".join(finished.stderr.split())
    assert list(tmp_path.iterdir()) == [], "nothing was written"


def test_without_photos_and_without_the_table_it_says_what_to_give():
    finished = run()
    assert finished.exit_code == 2
    assert "name the photos (PATH), or give --table" in finished.stderr


def test_photos_that_cannot_be_used_are_named_only_when_asked_for(crowd: Path):
    assert "empty.jpg" not in run(crowd).output
    told = run(crowd, "--verbose").stderr
    assert "Q001/empty.jpg: no face found" in told
    assert "Q002/notes.txt: not a photo" in told


@pytest.mark.parametrize(
    ("people", "sentence"), [({}, "contains no photo of a person"), ({"A": 2}, "several people are needed")]
)
def test_people_that_cannot_be_compared_are_refused(tmp_path: Path, people: dict[str, int], sentence: str):
    (tmp_path / "people").mkdir()
    finished = run(album(tmp_path / "people", people))
    assert finished.exit_code == 2
    assert sentence in finished.stderr


def test_a_path_that_is_not_there_is_refused(tmp_path: Path):
    finished = run(tmp_path / "none")
    assert finished.exit_code == 2
    assert "does not exist" in finished.stderr


def in_no_folder(folder: Path) -> Path:
    return folder / "none" / "own.toml"


def no_manifest(folder: Path) -> Path:
    (folder / "own.toml").write_text("[[networks]]\n")
    return folder / "own.toml"


def no_regular_file(folder: Path) -> Path:
    os.mkfifo(folder / "own.toml")
    return folder / "own.toml"


def curves_as_a_list(folder: Path) -> Path:
    (folder / "own.toml").write_text("curves = []\n")
    return folder / "own.toml"


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (
            in_no_folder,
            "{file} cannot be written: there is no folder {file.parent}; create the folder, or name another file",
        ),
        (no_manifest, "the manifest {file} is not valid: "),
        (no_regular_file, "{file} cannot be written: it is not a regular file; name another"),
        (curves_as_a_list, "{file} cannot take the curve: with it, the manifest {file} is not valid: "),
    ],
)
def test_a_manifest_that_cannot_take_a_curve_is_refused_before_the_work(
    crowd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: Callable[[Path], Path], sentence: str
):
    file = made(tmp_path)
    there = sorted(tmp_path.iterdir())
    monkeypatch.setattr("picturematch.commands.calibrate.measure_photos", None)
    finished = run(crowd, "--write", file)
    assert finished.exit_code == 2, finished.exception
    assert finished.stderr.startswith(f"picturematch: {sentence.format(file=file)}")
    assert len(finished.stderr.splitlines()) == 1
    assert finished.stdout == ""
    assert sorted(tmp_path.iterdir()) == there


def test_a_folder_that_takes_no_file_is_told_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_where: object, **_how: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", "/somewhere/own.toml.half")

    monkeypatch.setattr("picturematch.calibration.half_written", refuse)
    with pytest.raises(BadManifest) as refused:
        require_writable(tmp_path / "own.toml", IDENTITY)
    assert str(refused.value) == f"{tmp_path / 'own.toml'} cannot be written: Read-only file system; name another file"


def test_special_files_among_the_photos_are_left_out_with_their_reason(tmp_path: Path):
    folder = album(tmp_path / "people", {"T0": 1, "T1": 1})
    os.mkfifo(folder / "T0" / "f.jpg")
    (folder / "zero.jpg").symlink_to("/dev/zero")
    with (folder / "T1" / "huge.jpg").open("wb") as sparse:
        sparse.truncate(MAX_PICTURE_BYTES + 1)
    finished = run(folder, "--verbose")
    assert finished.exit_code == 1, finished.exception
    assert "2 photos of 2 people" in finished.stdout
    assert "left out: 3 not usable" in finished.stdout
    assert "T0/f.jpg: the picture does not exist or is not a file" in finished.stderr
    assert "zero.jpg: the picture does not exist or is not a file" in finished.stderr
    assert f"T1/huge.jpg: the picture is larger than {MAX_PICTURE_BYTES} bytes" in finished.stderr


def test_where_no_rate_can_be_told_there_is_no_table(tmp_path: Path):
    finished = run(album(tmp_path / "few", {"U0": 2, "U1": 1, "U2": 1}))
    assert finished.exit_code == 1
    assert finished.stdout == "4 photos of 3 people: 1 pair of one person, 5 of different people\n"
    assert "5 pairs of different people are too few" in finished.stderr


def test_progress_counts_the_photos_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crowd: Path):
    totals = []

    def told(title: str, total: int | None) -> AbstractContextManager[Steps]:
        totals.append((title, total))
        return progress(title, total)

    monkeypatch.setattr("picturematch.commands.calibrate.progress", told)
    photos = [{"identity_id": name, "path": str(crowd / name / f"{name}_0001.jpg")} for name in ("Q001", "Q002")]
    rows = [*photos, {"identity_id": "Q003", "feature": [1.0]}, {"path": "none.jpg"}]
    (tmp_path / "list.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert "left out: 2 not usable" in run(tmp_path / "list.jsonl").stdout
    assert totals == [("measuring photos", 2), ("comparing", 2)]


def test_where_nobody_has_two_photos_true_matches_cannot_be_told():
    found = calibrate(scores_of([], np.random.default_rng(5).normal(0, 0.1, 20_000)), ())
    assert [row.fnmr for row in found.rows()] == [None] * 5
    assert [row.measured for row in found.rows()] == [True, True, False, False, False]


def test_the_searches_threshold_is_the_one_that_the_product_would_take():
    found = calibrate(scores_of([0.9], [i / 20_000 for i in range(20_000)]), REFERENCE)
    for fixed in (None, 0.3):
        policy = Policy(threshold=fixed, target_fpir=0.01)
        assert found.search_threshold(policy, CurvedEmbedder(), 1) == threshold_at(found.curve, 1e-3)
        assert found.search_threshold(policy, CurvedEmbedder(), 100_000) == threshold_at(found.curve, 1e-7)
    assert found.unmeasurable() == [1e-4, 1e-5, 1e-6]


def test_without_a_curve_there_is_no_searches_threshold():
    with pytest.raises(ValueError, match="the photos are too few for a curve"):
        calibrate(scores_of([0.9], [0.1, 0.2]), ()).search_threshold(Policy(), CurvedEmbedder(), 10)


def test_a_fragment_begins_a_manifest_and_says_where_it_comes_from(tmp_path: Path):
    file = tmp_path / "new.toml"
    write_fragment(file, manifest_fragment(CURVE, IDENTITY, "two photos"))
    entry = load_manifest(file).embedder_of(IDENTITY)
    assert (entry.fmr_curve, entry.fmr_curve_from) == (CURVE, "two photos")
    assert [path.name for path in tmp_path.iterdir()] == ["new.toml"]


def test_a_fragment_that_would_spoil_a_manifest_leaves_it_as_it_is(tmp_path: Path):
    file = tmp_path / "own.toml"
    file.write_text("# ours\n")
    with pytest.raises(BadManifest, match="not valid"):
        write_fragment(file, manifest_fragment(CURVE[:1], IDENTITY, ""))
    assert file.read_text() == "# ours\n"
    assert [path.name for path in tmp_path.iterdir()] == ["own.toml"]


def test_a_curve_of_another_embedder_is_not_in_the_way(tmp_path: Path):
    file = tmp_path / "own.toml"
    write_fragment(file, manifest_fragment(CURVE, IDENTITY, ""))
    require_writable(file, "cd" * 32 + "-r1")
    with pytest.raises(BadManifest, match="remove the curve"):
        require_writable(file, IDENTITY)
