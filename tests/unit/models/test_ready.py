"""The ready manifests of embedders, and pinning the files that are dropped in."""

from pathlib import Path

import pytest

from models.errors import BadManifest, DamagedModel
from models.manifest import load_manifest
from models.ready import ReadyEmbedder, pin, pinned_manifest, ready_embedder, ready_embedders
from models.recipe import sha256_of
from models.store import ModelStore
from tests.support.tiny_models import tiny_embedder

TEXT = """# A tiny one.

[[networks]]
role = "embedder"
name = "tiny"
file = "published.onnx"
licence = "MIT"
origin = "the tests"
dimension = 16
[networks.input]
colour = "rgb"
width = 16
height = 16
"""


def ready(folder: Path, text: str = TEXT) -> ReadyEmbedder:
    file = folder / "ready.toml"
    file.write_text(text)
    return ReadyEmbedder("tiny", load_manifest(file).network("embedder"), text)


def dropped(folder: Path, data: bytes) -> Path:
    file = folder / "dropped in.onnx"
    file.write_bytes(data)
    return file


def test_every_ready_manifest_says_where_its_file_comes_from_and_claims_no_threshold() -> None:
    names = [each.name for each in ready_embedders()]
    assert {"sface", "edgeface-xs", "auraface", "buffalo_l"} <= set(names)
    for each in ready_embedders():
        entry = each.entry
        assert entry.licence, each.name
        assert entry.origin, each.name
        assert "." not in entry.origin.split()[0], "a project is named, and no host"
        assert (entry.threshold, entry.fmr_curve) == (None, ()), "nobody here has measured it"
        assert entry.package is None
        assert "://" not in each.text


def test_an_unknown_name_is_answered_with_the_names_that_there_are() -> None:
    with pytest.raises(BadManifest, match=r"no ready manifest facenet; there are .*sface"):
        ready_embedder("facenet")


def test_a_file_is_pinned_by_its_sha256_and_can_be_installed(tmp_path: Path) -> None:
    data = tiny_embedder()
    pinned = pin(ready(tmp_path), dropped(tmp_path, data), tmp_path / "cache")
    assert (pinned.manifest, pinned.was_known) == (pinned_manifest(tmp_path / "cache", "tiny"), False)
    entry = load_manifest(pinned.manifest).network("embedder")
    assert (entry.sha256, Path(entry.file or "").read_bytes()) == (sha256_of(data), data)
    store = ModelStore(tmp_path / "cache", load_manifest(pinned.manifest))
    assert store.identity("embedder").startswith(sha256_of(data))
    Path(entry.file or "").write_bytes(tiny_embedder(denormals=True))
    with pytest.raises(DamagedModel, match="does not have the sha256"):
        store.identity("embedder")


def test_a_file_whose_sha256_is_known_must_be_that_file(tmp_path: Path) -> None:
    data = tiny_embedder()
    known = TEXT.replace('licence = "MIT"', f'sha256 = "{sha256_of(data)}"\nlicence = "MIT"')
    assert pin(ready(tmp_path, known), dropped(tmp_path, data), tmp_path / "cache").was_known
    other = dropped(tmp_path, tiny_embedder(denormals=True))
    with pytest.raises(DamagedModel, match=f"{sha256_of(data)}; describe another network"):
        pin(ready(tmp_path, known), other, tmp_path / "other cache")
    assert not (tmp_path / "other cache").exists()


def test_pinning_again_changes_nothing_and_another_file_is_refused(tmp_path: Path) -> None:
    pinned = pin(ready(tmp_path), dropped(tmp_path, tiny_embedder()), tmp_path / "cache")
    curve = "\n[[curves]]\n" + f'embedder = "{"0" * 64}-r3"\nmeasured_on = "x"\n'
    curve += "fmr_curve = [{ fmr = 1e-2, threshold = 0.2 }, { fmr = 1e-3, threshold = 0.3 }]\n"
    pinned.manifest.write_text(pinned.manifest.read_text() + curve)
    calibrated = pinned.manifest.read_text()
    pin(ready(tmp_path), dropped(tmp_path, tiny_embedder()), tmp_path / "cache")
    assert pinned.manifest.read_text() == calibrated, "a measured curve is kept"
    with pytest.raises(BadManifest, match="another file is pinned as tiny"):
        pin(ready(tmp_path), dropped(tmp_path, tiny_embedder(denormals=True)), tmp_path / "cache")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (tiny_embedder(8), "has 8 numbers, and its manifest names 16"),
        (b"not a network", "not a usable ONNX network"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(DamagedModel, match=words):
        pin(ready(tmp_path), dropped(tmp_path, data), tmp_path / "cache")
