"""What `picturematch people reembed` finds out first: recent requests, and whether an embedder can decide."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from broker.embedded import open_embedded
from broker.port import NewRecord, TopicSpec
from clients.http import Client
from contract.people.coverage import EnrolledFace
from contract.people.records import PhotoReference
from engine.policy import Policy
from engine.vision.networks.standin import StandInEmbedder
from engine.vision.ports import ModelSet
from models.manifest import NO_THRESHOLD, FmrPoint
from picturematch import reembedding
from picturematch.networks import manifest_of, require_calibrated
from picturematch.options import UserError
from picturematch.reembed_comparing import time_of_last
from picturematch.reembedding import FACES_AT_ONCE, EnrolledPeople, Pace, Reembedding
from picturematch.settings import ModelSettings, Settings
from tests.support.faces import MODELS, context

TOPIC = "requests"


@pytest.mark.parametrize(
    ("count", "expected"), [(1, range(11, 12)), (5, range(7, 12)), (12, range(12)), (500, range(12))]
)
async def test_the_last_requests_of_all_partitions_are_found_by_their_time(
    tmp_path: Path, count: int, expected: range
) -> None:
    now_ms = 1_700_000_000_000
    async with open_embedded(tmp_path, role="owner", clock_ms=lambda: now_ms) as log:
        await log.ensure_topics([TopicSpec(TOPIC, 3)])
        times = []
        for number in range(12):
            now_ms += 60_000
            times.append(now_ms / 1000)
            await log.append([NewRecord(TOPIC, None, b"x", partition=number % 3)])
        since = await time_of_last(log, TOPIC, count, now_ms / 1000 + 1)
        assert [number for number, time_s in enumerate(times) if time_s >= since] == list(expected)


async def test_a_log_without_requests_has_no_last_ones(tmp_path: Path) -> None:
    async with open_embedded(tmp_path, role="owner", clock_ms=lambda: 0) as log:
        await log.ensure_topics([TopicSpec(TOPIC, 2)])
        assert await time_of_last(log, TOPIC, 5, 1_700_000_000.0) < 1_700_000_000.0


class Measured(StandInEmbedder):
    """The stand-in with other thresholds."""

    def __init__(self, threshold: float, *curve: FmrPoint) -> None:
        super().__init__()
        self.threshold, self.fmr_curve = threshold, curve


def embedder(threshold: float, *curve: FmrPoint) -> ModelSet:
    return replace(MODELS, embedder=Measured(threshold, *curve))


def test_an_embedder_that_nobody_has_measured_decides_nothing_unless_the_operator_names_a_threshold() -> None:
    with pytest.raises(UserError, match="picturematch calibrate PHOTOS"):
        require_calibrated(embedder(NO_THRESHOLD), Policy())
    require_calibrated(embedder(NO_THRESHOLD), Policy(threshold=0.5))
    require_calibrated(embedder(0.5), Policy())
    points = (FmrPoint(fmr=1e-2, threshold=0.2), FmrPoint(fmr=1e-3, threshold=0.3))
    require_calibrated(embedder(NO_THRESHOLD, *points), Policy())


def test_an_embedder_is_named_by_its_pinned_manifest_or_by_a_file(tmp_path: Path) -> None:
    settings = Settings(models=ModelSettings(folder=tmp_path))
    with pytest.raises(UserError, match=r"get it from OpenCV Zoo.*picturematch models pin sface FILE"):
        manifest_of(settings, "sface")
    (tmp_path / "embedders").mkdir()
    pinned = tmp_path / "embedders" / "sface.toml"
    pinned.write_text("")
    assert manifest_of(settings, "sface") == pinned
    own = tmp_path / "own.toml"
    own.write_text("")
    assert manifest_of(settings, str(own)) == own
    with pytest.raises(UserError, match="neither a file nor an embedder"):
        manifest_of(settings, "facenet")


class Waiting:
    """People of whom the faces `waiting` have no record of the embedder."""

    def __init__(self, *waiting: EnrolledFace) -> None:
        self.waiting = list(waiting)

    def missing(self) -> list[EnrolledFace]:
        return list(self.waiting)

    async def catch_up(self) -> None:
        pass


class Behind(Reembedding):
    """A run against a server that knows of the faces from the pass `knows` on."""

    def __init__(self, people: Waiting, knows: int) -> None:
        client = cast("Client", SimpleNamespace(url="http://server"))
        super().__init__(cast("EnrolledPeople", people), client, context(), Pace())
        self.people, self.knows = people, knows

    async def _embed(self, faces: Sequence[EnrolledFace], *_: object) -> None:
        if self.tally.passes >= self.knows:
            self.people.waiting.clear()


async def test_a_server_that_learns_of_a_face_a_moment_later_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reembedding, "_LAG_S", 0.0)
    photo = PhotoReference(sha256=bytes(32), partition=0, offset=0)
    late = [EnrolledFace(f"p{number}", 0, photo) for number in range(FACES_AT_ONCE + 1)]
    run = Behind(Waiting(late[0]), knows=1)
    await run.run()
    assert run.tally.passes == 2
    for faces, passes in ((late[:1], 3), (late, 1)):
        run = Behind(Waiting(*faces), knows=99)
        with pytest.raises(UserError, match="uses another log"):
            await run.run()
        assert run.tally.passes == passes, "many faces are not embedded again in vain"
