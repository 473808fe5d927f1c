"""The facts about an embedder are those of its manifest; a curve alone is enough for a threshold."""

from pathlib import Path

import pytest

from capture.replaying.embedder import EmbedderFacts
from models.errors import BadManifest
from models.manifest import NO_THRESHOLD, FmrPoint, load_manifest
from models.ready import ready_embedder

IDENTITY = "a" * 64 + "-r3"
CURVE = "fmr_curve = [{ fmr = 1e-2, threshold = 0.2 }, { fmr = 1e-3, threshold = 0.3 }]\n"


@pytest.mark.parametrize("curves", ["", f'\n[[curves]]\nembedder = "{IDENTITY}"\nmeasured_on = "x"\n{CURVE}'])
def test_an_embedder_needs_a_threshold_or_a_curve(curves: str, tmp_path: Path) -> None:
    (tmp_path / "sface.toml").write_text(ready_embedder("sface").text + curves)
    manifest = load_manifest(tmp_path / "sface.toml")
    if not curves:
        with pytest.raises(BadManifest, match="the embedder sface needs a dimension, and a threshold or a curve"):
            EmbedderFacts.of_manifest(manifest, IDENTITY)
        return
    facts = EmbedderFacts.of_manifest(manifest, IDENTITY)
    assert facts.threshold == NO_THRESHOLD
    assert facts.fmr_curve == (FmrPoint(fmr=1e-2, threshold=0.2), FmrPoint(fmr=1e-3, threshold=0.3))
