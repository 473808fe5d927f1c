"""Either runtime runs a network: with the same results, in the calling thread, and as the settings choose."""

import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import get_args

import numpy as np
import psutil
import pytest
from msgspec import structs

from models.errors import DamagedModel, RuntimeUnavailable
from models.manifest import InputSpec, Manifest, NetworkEntry, Role
from models.network import Network
from models.onnx_runtime import OnnxRuntimeSession
from models.openvino_runtime import OpenVinoSession, _core
from models.prepare import prepare
from models.recipe import sha256_of
from models.runtimes import ROUNDING, Runtime, Runtimes
from models.store import ModelStore
from models.trial import rounding_of
from picturematch.__main__ import main
from picturematch.networks import store_of
from picturematch.settings import load_settings
from tests.support.tiny_models import (
    INPUT_SHAPE,
    tiny_convolution_with_prelu,
    tiny_embedder,
    tiny_fully_convolutional,
    tiny_prelu,
)

RUNTIMES: tuple[Runtime, ...] = get_args(Runtime)
PICTURE = np.random.default_rng(1).normal(size=INPUT_SHAPE).astype(np.float32)
SLOPES = np.linspace(-0.5, 0.9, 6).reshape(6, 1, 1)

has_bfloat16 = pytest.mark.skipif(
    "BF16" not in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"), reason="this processor has no bfloat16"
)


@pytest.fixture
def not_installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An environment without OpenVINO."""
    _core.cache_clear()
    monkeypatch.setitem(sys.modules, "openvino", None)
    yield
    _core.cache_clear()


@pytest.mark.parametrize(
    ("source", "shape"),
    [
        (tiny_embedder(), INPUT_SHAPE),
        (tiny_embedder(denormals=True, initialisers_as_inputs=True), INPUT_SHAPE),
        (tiny_prelu(SLOPES), (1, 6, 6, 5)),
        (tiny_convolution_with_prelu(SLOPES), (1, 3, 8, 8)),
        (tiny_convolution_with_prelu(SLOPES, read_twice=True), (1, 3, 8, 8)),
    ],
    ids=["product", "denormal weights", "prelu", "convolution", "two outputs"],
)
def test_openvino_computes_what_onnx_runtime_computes(source: bytes, shape: tuple[int, ...]) -> None:
    tensor = np.random.default_rng(3).normal(size=shape).astype(np.float32)
    prepared = prepare(source)
    ours, reference = Network(prepared, runtime="openvino")(tensor), Network(prepared)(tensor)
    assert len(ours) == len(reference)
    for one, other in zip(ours, reference, strict=True):
        assert one.dtype == np.float32
        assert one.shape == other.shape
        assert np.abs(one - other).max() <= 1e-5 * np.abs(other).max()


@has_bfloat16
def test_bfloat16_rounds_and_is_computed_in_bfloat16() -> None:
    rounded, reference = Network(tiny_embedder(), runtime=ROUNDING)(PICTURE)[0], Network(tiny_embedder())(PICTURE)[0]
    error = np.abs(rounded - reference).max() / np.abs(reference).max()
    assert 1e-5 < error < 2e-2


@pytest.mark.parametrize("runtime", RUNTIMES[:2])
def test_outputs_are_read_by_name_in_the_order_that_is_asked_for(runtime: Runtime) -> None:
    prepared = prepare(tiny_convolution_with_prelu(SLOPES, read_twice=True))
    tensor = np.ones((1, 3, 8, 8), np.float32)
    bent, plain = Network(prepared, ["bent", "plain"], runtime)(tensor)
    turned = Network(prepared, ["plain", "bent"], runtime)(tensor)
    assert (turned[0] == plain).all()
    assert (turned[1] == bent).all()
    assert (bent != plain).any()
    assert len(Network(prepared, ["plain"], runtime)(tensor)) == 1


@pytest.mark.parametrize("runtime", RUNTIMES[:2])
def test_an_input_of_any_size_and_of_any_layout_in_memory_is_taken(runtime: Runtime) -> None:
    network = Network(prepare(tiny_fully_convolutional(), ["batch", 3, "height", "width"]), (), runtime)
    turned = np.ones((1, 12, 20, 3), np.float32).transpose(0, 3, 2, 1)
    for tensor in (np.ones((1, 3, 20, 12), np.float32), turned, np.ones((1, 3, 8, 40), np.float32)):
        assert network(tensor)[0].shape == (1, 4, *tensor.shape[2:])


@pytest.mark.parametrize("runtime", RUNTIMES[:2])
def test_what_a_runtime_refuses_is_said_in_a_sentence(runtime: Runtime) -> None:
    with pytest.raises(DamagedModel, match=r"cannot run on an input of shape \(1, 3, 8, 8\): .*[a-z]{3}"):
        Network(tiny_embedder(), (), runtime)(np.ones((1, 3, 8, 8), np.float32))
    with pytest.raises(DamagedModel, match=r"(ONNX Runtime|OpenVINO) cannot open the network: .*(?!Exception from)"):
        Network(b"no network", (), runtime)
    with pytest.raises(DamagedModel, match="no output named features; it has out"):
        Network(tiny_embedder(), ["features"], runtime)


def test_the_place_in_the_source_of_openvino_is_not_told_to_the_operator() -> None:
    with pytest.raises(DamagedModel) as refused:
        Network(tiny_embedder(), (), "openvino")(np.ones((1, 3, 8, 8), np.float32))
    assert ".cpp" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_result_stays_when_the_network_is_called_again() -> None:
    network = Network(tiny_embedder(), (), "openvino")
    first = network(PICTURE)[0]
    kept = first.copy()
    network(-PICTURE)
    assert (first == kept).all()


def test_calls_start_no_threads_and_bind_none_to_a_core() -> None:
    threads = psutil.Process().num_threads()
    network = Network(tiny_embedder(), (), "openvino")
    with ThreadPoolExecutor(1) as pool:
        before = pool.submit(os.sched_getaffinity, 0).result()
        for _ in range(20):
            network(PICTURE)
            pool.submit(network, PICTURE).result()
        assert pool.submit(os.sched_getaffinity, 0).result() == before
        assert os.sched_getaffinity(0) == before
        assert psutil.Process().num_threads() <= threads + 1  # that of the pool


def test_a_call_beside_another_gets_a_copy_of_its_own_and_leaves_it_for_later() -> None:
    session = OpenVinoSession(tiny_embedder())
    busy = session._idle.pop()  # as in the middle of a call
    here = session(PICTURE, ["out"])[0]
    assert len(session._idle) == 1
    session._idle.append(busy)
    assert (session(PICTURE, ["out"])[0] == here).all()
    assert len(session._idle) == 2


def test_a_call_that_fails_leaves_the_network_usable() -> None:
    network = Network(tiny_embedder(), (), "openvino")
    wanted = network(PICTURE)[0]
    for _ in range(3):
        with pytest.raises(DamagedModel):
            network(np.ones((1, 3, 8, 8), np.float32))
    assert (network(PICTURE)[0] == wanted).all()


@pytest.mark.parametrize("runtime", RUNTIMES[:2])
def test_threads_get_the_same_results_as_one_call_after_the_other(runtime: Runtime) -> None:
    network = Network(prepare(tiny_convolution_with_prelu(SLOPES)), (), runtime)
    tensors = [np.random.default_rng(seed).normal(size=(1, 3, 8, 8)).astype(np.float32) for seed in range(40)]
    wanted = [network(tensor)[0] for tensor in tensors]
    begin = threading.Barrier(4)

    def work(_: int) -> list[np.ndarray]:
        begin.wait()
        return [network(tensor)[0] for tensor in tensors]

    with ThreadPoolExecutor(4) as pool:
        for results in pool.map(work, range(4)):
            assert all((one == other).all() for one, other in zip(results, wanted, strict=True))
    if isinstance(network._session, OpenVinoSession):
        assert 1 <= len(network._session._idle) <= 4


def entry(folder: Path, role: Role) -> NetworkEntry:
    file = folder / f"{role}.onnx"
    file.write_bytes(tiny_embedder())
    spec = InputSpec(colour="rgb", width=16, height=16, mean=(127.5,) * 3, divisor=(127.5,) * 3)
    return NetworkEntry(role=role, name=role, licence="none", input=spec, file=str(file), dimension=16)


def store(folder: Path, runtimes: dict[str, Runtime] | None = None) -> ModelStore:
    entries = (entry(folder, "embedder"), entry(folder, "liveness"), entry(folder, "pose"))
    made = ModelStore(folder / "cache", Manifest(networks=entries), runtimes)
    made.install()
    return made


def test_each_network_runs_with_its_runtime(tmp_path: Path) -> None:
    chosen = store(tmp_path, {"liveness": "openvino"})
    assert isinstance(chosen.open("liveness")._session, OpenVinoSession)
    assert isinstance(chosen.open("embedder")._session, OnnxRuntimeSession)
    assert {line.state.value for line in chosen.verify()} == {"ready"}


def test_the_settings_choose_for_all_and_for_single_networks(tmp_path: Path) -> None:
    given = {"MODELS__RUNTIME": "openvino", "MODELS__RUNTIMES__POSE": ROUNDING}
    given["MODELS__RUNTIMES__LANDMARKS"] = "onnxruntime"
    models = load_settings(None, {f"PICTUREMATCH_{name}": value for name, value in given.items()}).models
    chosen = models.runtimes.by_role(models.runtime)
    assert set(chosen) == set(get_args(Role))
    assert (chosen["pose"], chosen["landmarks"], chosen["embedder"]) == (ROUNDING, "onnxruntime", "openvino")
    assert set(Runtimes().by_role("onnxruntime").values()) == {"onnxruntime"}

    file = tmp_path / "own.toml"
    file.write_text('[models.runtimes]\nliveness = "openvino"\n')
    with_folder = {"PICTUREMATCH_MODELS__FOLDER": str(tmp_path / "cache")}
    assert store_of(load_settings(file, with_folder))._runtime("liveness") == "openvino"


def test_the_identity_is_that_of_the_reference_where_openvino_rounds_alike(tmp_path: Path) -> None:
    assert store(tmp_path, {"embedder": "openvino"}).identity("embedder") == store(tmp_path).identity("embedder")


@has_bfloat16
def test_the_identity_in_bfloat16_says_how_the_network_rounds(tmp_path: Path) -> None:
    plain, rounding = store(tmp_path), store(tmp_path, {"liveness": ROUNDING})
    identity = rounding.identity("liveness")
    spec = rounding.manifest.network("liveness").input
    assert identity == f"{plain.identity('liveness')}-b{rounding_of(rounding.open('liveness'), spec)}"
    assert identity == store(tmp_path, {"liveness": ROUNDING}).identity("liveness")
    assert rounding.identity("pose") == plain.identity("pose")
    assert identity in {line.identity for line in rounding.status()}


def test_the_digest_differs_as_soon_as_one_result_differs_by_the_last_bit() -> None:
    spec = InputSpec(colour="rgb", width=8, height=8, mean=(127.5,) * 3, divisor=(127.5,) * 3)
    calls: list[np.ndarray] = []

    def network(tensor: np.ndarray) -> tuple[np.ndarray, ...]:
        calls.append(tensor)
        return (tensor.copy(),)

    def nearly(tensor: np.ndarray) -> tuple[np.ndarray, ...]:
        (result,) = network(tensor)
        result[0, 0, 0, 0] = np.nextafter(result[0, 0, 0, 0], np.float32(9))
        return (result,)

    assert rounding_of(network, spec) == rounding_of(network, spec) == "1070da7d"
    assert rounding_of(nearly, spec) != rounding_of(network, spec)
    assert len({tensor.tobytes() for tensor in calls[:16]}) == 16
    assert all(-1 <= tensor.min() < -0.9 < 0.9 < tensor.max() <= 1 for tensor in calls[:16])
    grey = structs.replace(spec, colour="grey", layout="nhwc")
    rounding_of(network, grey)
    assert calls[-1].shape == (1, 8, 8, 1)


def test_without_the_library_the_operator_reads_what_to_install(tmp_path: Path, not_installed: None) -> None:
    without = store(tmp_path, {"liveness": "openvino"})
    assert without.open("embedder")
    for use in (lambda: without.open("liveness"), without.verify):
        with pytest.raises(RuntimeUnavailable) as refused:
            use()
        assert str(refused.value) == (
            "the liveness network cannot run with openvino: it is not installed; "
            "run: pip install 'picturematch[openvino]'"
        )


def test_a_command_ends_with_that_sentence(
    tmp_path: Path, not_installed: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store(tmp_path)
    manifest = tmp_path / "own.toml"
    manifest.write_text(
        '[[networks]]\nrole = "liveness"\nname = "liveness"\nlicence = "none"\nfile = "liveness.onnx"\n'
        '[networks.input]\ncolour = "rgb"\nwidth = 16\nheight = 16\n'
    )
    monkeypatch.setenv("PICTUREMATCH_MODELS__FOLDER", str(tmp_path / "cache"))
    monkeypatch.setenv("PICTUREMATCH_MODELS__MANIFEST", str(manifest))
    monkeypatch.setenv("PICTUREMATCH_MODELS__RUNTIME", "openvino")
    monkeypatch.setattr(sys, "argv", ["picturematch", "models", "verify"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code != 0
    said = capsys.readouterr().err.strip()
    assert said.endswith("it is not installed; run: pip install 'picturematch[openvino]'")
    assert "\n" not in said


def test_a_command_that_expects_no_such_error_ends_with_the_sentence_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeUnavailable("the pose network cannot run with openvino")

    monkeypatch.setattr("picturematch.commands.demo.install_missing", refuse)
    monkeypatch.setattr(sys, "argv", ["picturematch", "demo"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err == "picturematch: the pose network cannot run with openvino\n"


def test_bfloat16_is_refused_where_the_processor_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Without:
        def get_property(self, device: str, name: str) -> list[str]:
            assert (device, name) == ("CPU", "OPTIMIZATION_CAPABILITIES")
            return ["FP32", "INT8"]

    monkeypatch.setattr("models.openvino_runtime._core", Without)
    without = store(tmp_path, {"pose": ROUNDING})
    for use in (lambda: without.open("pose"), lambda: without.identity("pose"), without.status):
        with pytest.raises(RuntimeUnavailable) as refused:
            use()
        assert str(refused.value) == (
            "the pose network cannot run with openvino-bfloat16: this processor has no bfloat16; "
            "set openvino or onnxruntime in models.runtimes"
        )


def test_every_network_can_have_a_runtime_and_embeddings_are_never_rounded() -> None:
    fields = {field.name: field.type for field in structs.fields(Runtimes)}
    assert set(fields) == set(get_args(Role))
    exact = {role for role, kind in fields.items() if ROUNDING not in {w for k in get_args(kind) for w in get_args(k)}}
    assert exact == {"detector", "landmarks", "embedder"}


def test_the_digest_is_of_the_source_file_and_not_of_the_runtime(tmp_path: Path) -> None:
    source = sha256_of(tiny_embedder())
    assert store(tmp_path, {"pose": "openvino"}).identity("pose").startswith(f"{source}-r")
