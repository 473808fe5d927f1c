import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

from bench import side_by_side
from bench.face_sets import Pair
from bench.others.pipeline import Answer, Command, Pipeline, PipelineFailed

ADAPTERS = Path(side_by_side.__file__).parent / "others"

# As the library does it, boxes are (top, right, bottom, left); the "descriptor" tells which box it is of.
FAKE_LIBRARY = """
__version__ = "0"
def load_image_file(file):
    size = int(file.read())
    return __import__("types").SimpleNamespace(shape=(size, size, 3))
def face_locations(image):
    return [(0, 60, 60, 0), (90, 110, 110, 90)] if image.shape[0] == 200 else []
def face_encodings(image, boxes):
    return [[float(value) for value in box] for box in boxes]
"""


def pipeline_of(folder: Path, script: str) -> Command:
    (folder / "pipeline.py").write_text(script)
    return Command([sys.executable, str(folder / "pipeline.py")], folder, {})


def answer(*values: float) -> Answer:
    return Answer(np.array(values, np.float32) if values else None, wall_ms=3.0, cpu_ms=2.0)


def test_a_pipeline_is_asked_for_one_picture_after_the_other(tmp_path):
    (tmp_path / "face_recognition.py").write_text(FAKE_LIBRARY)
    (tmp_path / "two.jpg").write_text("200")
    (tmp_path / "none.jpg").write_text("100")
    command = Command([sys.executable, str(ADAPTERS / "dlib_pipeline.py")], tmp_path, {"PYTHONPATH": str(tmp_path)})

    with Pipeline(command) as pipeline:
        largest = pipeline.embed(tmp_path / "two.jpg", "largest")
        centred = pipeline.embed(tmp_path / "two.jpg", "centred")
        nobody = pipeline.embed(tmp_path / "none.jpg", "largest")

    assert (pipeline.name, pipeline.score) == ("face_recognition 0", "distance")
    assert largest.vector is not None
    assert largest.vector.tolist() == [0, 60, 60, 0]
    assert centred.vector is not None
    assert centred.vector.tolist() == [90, 110, 110, 90]
    assert nobody.vector is None
    assert largest.wall_ms > 0


def test_a_pipeline_that_cannot_start_says_why(tmp_path):
    with pytest.raises(PipelineFailed, match=r"ended: .*No module named 'face_recognition'"):
        Pipeline(Command([sys.executable, str(ADAPTERS / "dlib_pipeline.py")], tmp_path, {"PYTHONPATH": ""}))
    with pytest.raises(PipelineFailed, match="nowhere cannot be started: No such file"):
        Pipeline(Command([str(tmp_path / "nowhere")], tmp_path, {}))


def test_a_pipeline_that_ends_early_says_why(tmp_path):
    script = """
import sys
print('{"ready": "brief 1", "score": "cosine"}', flush=True)
sys.stdin.readline()
sys.exit("out of breath")
"""
    with Pipeline(pipeline_of(tmp_path, script)) as pipeline, pytest.raises(PipelineFailed, match="out of breath"):
        pipeline.embed(tmp_path / "any.jpg", "largest")


class Distances:
    """Stands for a started pipeline that compares by distance."""

    name = "distances"

    def similarity(self, one: np.ndarray, other: np.ndarray) -> float:
        return -float(np.abs(one - other).sum())


def pairs_and_answers(faceless: bool) -> tuple[list[Pair], Mapping[Path, Answer]]:
    """Two folds with ten pairs of each kind, told apart without fault; or one face of the first pair missing."""
    pairs, answers = [], {}
    for number in range(20):
        first, second, third = (Path(f"{letter}{number}") for letter in "abc")
        answers |= {first: answer(0.0), second: answer(0.1), third: answer(5.0)}
        pairs.append(Pair(number % 2 + 1, first, second, same=True))
        pairs.append(Pair(number % 2 + 1, first, third, same=False))
    if faceless:
        answers[Path("b0")] = answer()
    return pairs, answers


def test_embeddings_that_tell_people_apart_are_all_right():
    pairs, answers = pairs_and_answers(faceless=False)
    result = side_by_side.result_of(Distances(), pairs, answers)

    assert (result.accuracy, result.standard_error, result.no_face) == (1.0, 0.0, 0)
    assert (result.median_cpu_ms, result.median_wall_ms, result.per_second) == (2.0, 3.0, 500.0)
    assert result.tar is None  # twenty pairs cannot tell one in a hundred


def test_a_picture_without_a_face_makes_its_pair_of_one_person_wrong():
    pairs, answers = pairs_and_answers(faceless=True)
    result = side_by_side.result_of(Distances(), pairs, answers)

    assert result.no_face == 1
    assert result.accuracy == pytest.approx(39 / 40)


def test_fewer_pairs_are_spread_over_folds_and_kinds():
    pairs, _ = pairs_and_answers(faceless=False)
    few = side_by_side._thinned(pairs, 13)

    assert len(few) == 13
    assert {(pair.fold, pair.same) for pair in few} == {(1, True), (1, False), (2, True), (2, False)}
    assert side_by_side._thinned(pairs, 100) == pairs


def test_kinds_that_take_turns_are_thinned_alike():
    pairs, _ = pairs_and_answers(faceless=False)
    assert [pair.same for pair in pairs] == [True, False] * 20

    half = side_by_side._thinned(pairs, 20)

    assert Counter((pair.fold, pair.same) for pair in half) == dict.fromkeys(
        [(1, True), (1, False), (2, True), (2, False)], 5
    )
    assert half == sorted(half, key=pairs.index)


def test_pairs_too_few_for_folds_and_kinds_are_told_before_the_work(tmp_path, monkeypatch):
    pairs, _ = pairs_and_answers(faceless=False)
    monkeypatch.setattr(side_by_side, "install_missing", lambda _settings: None)
    monkeypatch.setattr(side_by_side, "_pairs_of", lambda _people: pairs)

    finished = CliRunner().invoke(side_by_side.main, [str(tmp_path), "--pairs", "1"])

    assert finished.exit_code == 1
    assert "--pairs 1 leaves a fold or a kind of pair out" in finished.output


def test_a_folder_without_people_is_told_in_a_sentence(tmp_path):
    with pytest.raises(click.ClickException, match="give one that holds a folder per person"):
        side_by_side._pairs_of(tmp_path)


def test_pairs_of_one_kind_only_are_told_in_a_sentence(tmp_path):
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "pairs.csv").write_text("fold,image_a,image_b,same\n1,a.jpg,b.jpg,1\n2,a.jpg,b.jpg,1\n")

    with pytest.raises(click.ClickException, match="no JPEG pairs of one person and of different people"):
        side_by_side._pairs_of(tmp_path)
