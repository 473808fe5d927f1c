"""One run of `picturematch people reembed`: embeds everybody beside the server, and records recent requests."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from clients.http import Client
from engine.context import Context
from engine.vision.ports import ModelSet
from picturematch.opening import open_broker
from picturematch.options import ca_file
from picturematch.reembed_comparing import Recent, record_recent
from picturematch.reembedding import EnrolledPeople, LeftBehind, Pace, Reembedding
from picturematch.settings import Settings


@dataclass(frozen=True, slots=True)
class Means:
    """What a run uses: the settings with the log, the networks of the new embedder, the server, and the pace."""

    settings: Settings
    models: ModelSet
    url: str
    api_key: str | None
    jobs: int
    rate: float | None


@dataclass(frozen=True, slots=True)
class Done:
    """What a run has done.

    Attributes:
        added: the faces that were embedded.
        passes: the passes over the people until nobody was left.
        left: the faces that cannot be embedded.
        nowhere: the ids of the people who could not be recognised at all, because all their faces are left behind.
        recorded: the requests that were recorded for the comparison.
        completed: the faces that the embedder knew, and that got templates of covered faces.
    """

    added: int
    passes: int
    left: Sequence[LeftBehind]
    nowhere: Sequence[str]
    recorded: int = 0
    completed: int = 0

    def and_then(self, later: Self) -> Self:
        """Return what this run and a later one have done together."""
        return replace(
            later,
            added=self.added + later.added,
            passes=self.passes + later.passes,
            recorded=self.recorded,
            completed=self.completed + later.completed,
        )

    def as_fields(self, embedder: str) -> dict[str, Any]:
        """Return the values as fields of a JSON object. `embedder`: the identity of the new embedder."""
        return {
            "embedder": embedder,
            "added": self.added,
            "completed": self.completed,
            "passes": self.passes,
            "left_behind": len(self.left),
            "faces_left_behind": [
                {"identity_id": face.identity_id, "number": face.number, "reason": face.reason} for face in self.left
            ],
            "people_left_behind": len(self.nowhere),
            "compared": self.recorded,
        }


def context_of(settings: Settings, models: ModelSet) -> Context:
    """Return the context in which photos are embedded with these networks."""
    return Context(models, settings.matching, settings.pictures.max_pixels, time.perf_counter)


async def embed_all(means: Means, recent: Recent | None, folder: Path) -> Done:
    """Embed every face with a photo; then record recent requests into a new capture `folder` (None: none).

    Raises:
        OperatorError: the log cannot be read, or the server cannot be reached or refuses the call.
    """
    settings, models = means.settings, means.models
    async with (
        open_broker(settings, "guest") as log,
        EnrolledPeople(log, settings.topics, models.embedder_identity) as people,
        Client(means.url, api_key=means.api_key, ca_file=ca_file()) as client,
    ):
        run = Reembedding(people, client, context_of(settings, models), Pace(means.jobs, means.rate))
        await run.run()
        recorded = 0 if recent is None else await record_recent(log, settings, recent, folder)
        left = await people.left_behind(run.tally.unusable)
        return Done(run.tally.added, run.tally.passes, left, people.nowhere(), recorded, run.tally.completed)
