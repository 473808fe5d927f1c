import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console

import models.openvino_runtime
from bench.runtime_cost import EXACT, LookCost, NetworkCost, RuntimeReport, available, made_up_input, print_runtimes
from bench.runtimes import Outputs, _read, _write, change, main
from bench.stages import DEFAULT, Spread
from models.errors import RuntimeUnavailable
from models.manifest import default_manifest
from picturematch.options import UserError

RNG = np.random.default_rng(2)


def outputs(embeddings: np.ndarray, shift: float = 0.0) -> Outputs:
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    column = np.linspace(0.1, 0.5, len(unit))[:, np.newaxis]
    return Outputs(unit, np.ones_like(column), column.repeat(3, axis=1) + 2 * shift, column + shift, column, column)


def test_the_largest_change_is_that_of_any_two_photos():
    first = RNG.normal(size=(6, 8))
    moved = first.copy()
    moved[3] += 0.1
    one, other = outputs(first), outputs(moved, shift=0.25)
    found = change(one, other)
    wanted = max(
        abs(one.embeddings[a] @ one.embeddings[b] - other.embeddings[a] @ other.embeddings[b])
        for a in range(6)
        for b in range(a)
    )
    assert found.cosine == pytest.approx(wanted)
    assert 0 < found.cosine_most <= found.cosine
    assert (found.live, found.angle, found.age, found.photos) == (pytest.approx(0.25), pytest.approx(0.5), 0.0, 0)
    assert change(one, one).cosine == 0.0


def test_photos_without_a_face_are_left_out_and_counted_where_they_differ():
    one = outputs(RNG.normal(size=(4, 8)))
    gone = Outputs(*(getattr(one, name).copy() for name in ("embeddings", "faces", "angles", "live", "age", "sex")))
    for values in (gone.embeddings, gone.angles, gone.live, gone.age, gone.sex):
        values[2] = np.nan
    gone.faces[2] = 0
    found = change(one, gone)
    assert (found.cosine, found.photos, found.live) == (0.0, 1, 0.0)
    nobody = Outputs(
        *(np.full_like(values, np.nan) for values in (one.embeddings, one.faces, one.angles)), *[one.live] * 3
    )
    assert np.isnan(change(nobody, nobody).angle)


def test_what_was_computed_is_kept_for_another_machine(tmp_path):
    found = {"onnxruntime": outputs(RNG.normal(size=(3, 8))), "openvino, alone": outputs(RNG.normal(size=(3, 8)))}
    file = tmp_path / "kept.npz"
    _write(file, found)
    again = _read(file)
    assert list(again) == list(found)
    assert all((again[name].embeddings == found[name].embeddings).all() for name in found)
    file.write_bytes(b"something else")
    with pytest.raises(UserError, match="is no file that --keep has written"):
        _read(file)


def test_costs_are_printed_beside_those_of_onnx_runtime(capsys):
    spent = {"onnxruntime": Spread(4.0, 5.0), "openvino": Spread(2.0, 3.0), "openvino-bfloat16": Spread(1.0, 1.5)}
    looks = [
        LookCost("onnxruntime", {DEFAULT: Spread(30.0, 31.0)}),
        LookCost("openvino", {DEFAULT: Spread(33.0, 34.0)}),
    ]
    networks = [NetworkCost("embedder", (1, 3, 8, 8), spent), NetworkCost("pose", (1, 3, 9, 9), spent)]
    print_runtimes(Console(width=200), RuntimeReport(networks, looks))
    printed = capsys.readouterr().out
    assert "embedder *" in printed
    assert "pose *" not in printed
    assert "2.00 / 3.00 (0.50)" in printed
    assert "1.00 / 1.50 (0.25)" in printed
    assert "33.00 / 34.00 (1.10)" in printed
    assert "1x3x9x9" in printed


def test_a_runtime_that_is_not_here_is_left_out(monkeypatch):
    assert available()[:2] == ("onnxruntime", "openvino")

    def none() -> None:
        raise RuntimeUnavailable("it is not installed")

    monkeypatch.setattr(models.openvino_runtime, "_core", none)
    assert available() == ("onnxruntime",)


def test_without_openvino_the_command_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr("bench.runtimes._images", lambda *_: [np.zeros((8, 8, 3), np.uint8)])
    monkeypatch.setattr("bench.runtimes.available", lambda: ("onnxruntime",))
    result = CliRunner().invoke(main, [str(tmp_path)], catch_exceptions=False)
    assert result.exit_code == 0
    assert "pip install 'picturematch[openvino]'" in result.output


def test_every_network_has_an_input_that_it_usually_gets():
    for entry in default_manifest().networks:
        shape = made_up_input(entry).shape
        assert len(shape) == 4
        assert min(shape[2:]) >= 32 or entry.input.layout == "nhwc"
    assert set(EXACT) < {entry.role for entry in default_manifest().networks}
