"""`people lookalikes` takes the embedder of any manifest that a server would start with."""

from dataclasses import dataclass
from pathlib import Path

import pytest

import picturematch.lookalikes as command
from engine.policy import Policy
from models.manifest import NO_THRESHOLD, FmrPoint, Manifest, load_manifest
from models.ready import ready_embedder
from picturematch.options import UserError
from picturematch.settings import Settings

IDENTITY = "a" * 64 + "-r3"
CURVE = "fmr_curve = [{ fmr = 1e-2, threshold = 0.2 }, { fmr = 1e-3, threshold = 0.3 }]\n"


@dataclass(frozen=True)
class Store:
    manifest: Manifest

    def identity(self, role: str) -> str:
        return IDENTITY


@pytest.mark.parametrize("curves", ["", f'\n[[curves]]\nembedder = "{IDENTITY}"\nmeasured_on = "x"\n{CURVE}'])
def test_an_embedder_needs_a_curve_or_a_fixed_threshold(
    curves: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sface.toml").write_text(ready_embedder("sface").text + curves)
    manifest = load_manifest(tmp_path / "sface.toml")
    monkeypatch.setattr(command, "store_of", lambda settings: Store(manifest))
    if not curves:
        with pytest.raises(UserError, match="neither a threshold nor a curve; measure one with picturematch calibrate"):
            command.embedder_entry(Settings())
        assert command.embedder_entry(Settings(matching=Policy(threshold=0.5))).fmr_curve == ()
        return
    entry = command.embedder_entry(Settings())
    assert entry.threshold == NO_THRESHOLD
    assert entry.fmr_curve == (FmrPoint(fmr=1e-2, threshold=0.2), FmrPoint(fmr=1e-3, threshold=0.3))
