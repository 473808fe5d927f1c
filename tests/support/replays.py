"""Replays of captures in the process of a test, with the stand-in networks."""

from pathlib import Path
from typing import Any

from capture.reader import CaptureReader
from capture.replaying.embedder import EmbedderFacts
from capture.replaying.look import Networks
from capture.replaying.run import Means, Replay
from capture.replaying.whatif import WhatIf
from capture.rows import Row
from engine.policy import Policy
from engine.vision.ports import ModelSet
from models.errors import NotInstalled
from tests.support.faces import MAX_PIXELS, MODELS


def means(models: ModelSet | None = MODELS, present: Policy | None = None, jobs: int = 1) -> Means:
    """What a replay can use; `models` None: no network is installed, and nothing is known about the embedder."""

    def open_networks() -> Networks:
        if models is None:
            raise NotInstalled("the networks are not installed; run picturematch models install")
        return Networks(models, MAX_PIXELS, lambda: 0.0)

    facts = None if models is None else EmbedderFacts.of_models(models)
    return Means(present or Policy(), frozenset(), facts, open_networks, jobs)


def replayed(folder: Path, what_if: WhatIf | None = None, given: Means | None = None, **options: Any) -> list[Row]:
    """The rows of a replay."""
    return list(Replay(CaptureReader(folder), what_if or WhatIf(), given or means(), **options).rows())


def differing(rows: list[Row]) -> dict[int, list[tuple[str, Any, Any]]]:
    """The differences by the number of the line; no row may have trouble."""
    assert [row.trouble for row in rows if row.trouble is not None] == []
    return {row.number: [(d.what, d.then, d.now) for d in row.differences] for row in rows if row.differences}
