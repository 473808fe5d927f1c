"""What a replay in this process uses besides the capture: the settings and the networks that they name."""

import os
import time

import click

from capture.replaying.embedder import EmbedderFacts
from capture.replaying.look import Networks
from capture.replaying.run import Means
from capture.replaying.whatif import WhatIf
from models.errors import ModelError
from picturematch.embedder import embedder_facts
from picturematch.networks import require_calibrated
from picturematch.options import pinned_by, settings_of
from picturematch.settings import Settings
from picturematch.wiring import open_models


def means_of(ctx: click.Context, what_if: WhatIf, jobs: int | None) -> Means:
    """Return the means of a replay. `jobs` None: as many as there are cores.

    Raises:
        UserError: a setting is wrong.
    """
    settings = settings_of(ctx, models__manifest=what_if.models)

    def open_networks() -> Networks:
        models = open_models(settings)
        if what_if.threshold is None:
            require_calibrated(models, settings.matching)
        return Networks(models, settings.pictures.max_pixels, time.perf_counter)

    return Means(settings.matching, pinned_by(ctx), _installed(settings), open_networks, jobs or os.cpu_count() or 1)


def _installed(settings: Settings) -> EmbedderFacts | None:
    """Return the facts about the embedder that the settings name; None: there is none."""
    try:
        return embedder_facts(settings)
    except ModelError:
        return None  # only a threshold that must be computed anew, or a look, needs the embedder
