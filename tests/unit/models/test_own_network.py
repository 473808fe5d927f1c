from pathlib import Path

import numpy as np
import pytest

from engine.vision.networks.arcface import TEMPLATE, ArcFaceEmbedder
from engine.vision.ports import Box, Face
from models.errors import DamagedModel, NotInstalled
from models.identity import identity_of_network
from models.manifest import Manifest, load_manifest
from models.recipe import sha256_of
from models.store import ModelStore, State
from tests.support import pictures
from tests.support.tiny_models import tiny_embedder

ENTRY = """
[[networks]]
role = "embedder"
name = "ours"
file = "ours.onnx"
licence = "our own"
dimension = 16
threshold = 0.4
{extra}
[networks.input]
colour = "rgb"
width = 16
height = 16
mean = [127.5, 127.5, 127.5]
divisor = [127.5, 127.5, 127.5]
"""


def store_with(folder: Path, data: bytes | None, extra: str = "") -> ModelStore:
    if data is not None:
        (folder / "ours.onnx").write_bytes(data)
    (folder / "own.toml").write_text(ENTRY.format(extra=extra))
    manifest = load_manifest(folder / "own.toml")
    return ModelStore(folder / "cache", Manifest(networks=(manifest.network("embedder"),)))


def test_an_operators_own_embedder_takes_the_place_of_ours(tmp_path: Path):
    store = store_with(tmp_path, tiny_embedder())
    store.install()
    embedder = ArcFaceEmbedder(store.open("embedder"), store.manifest.network("embedder"))

    embedding = embedder(pictures.busy(), Face(Box(20, 20, 80, 90), 1.0, TEMPLATE))

    assert (embedder.dimension, embedder.threshold) == (16, 0.4)
    assert np.linalg.norm(embedding.vector) == pytest.approx(1, abs=1e-5)
    entry = store.manifest.network("embedder")
    assert store.identity("embedder") == identity_of_network(entry, sha256_of(tiny_embedder()))
    assert store.verify()[0].state is State.READY


def test_another_file_under_the_same_name_is_another_network(tmp_path: Path):
    store = store_with(tmp_path, tiny_embedder())
    store.install()
    before = store.identity("embedder")
    (tmp_path / "ours.onnx").write_bytes(tiny_embedder(denormals=True))

    assert store.identity("embedder") != before
    assert store.status()[0].state is State.MISSING


def test_a_file_that_is_missing_broken_or_of_another_sha256_is_told_in_a_sentence(tmp_path: Path):
    with pytest.raises(NotInstalled, match="correct it in your manifest"):
        store_with(tmp_path, None).install()
    with pytest.raises(DamagedModel, match="not a usable ONNX network"):
        store_with(tmp_path, b"junk").install()
    with pytest.raises(DamagedModel, match="does not have the sha256"):
        store_with(tmp_path, tiny_embedder(), f'sha256 = "{"0" * 64}"').install()
