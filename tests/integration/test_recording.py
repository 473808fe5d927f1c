"""A recording of a processor at work contains all that its decisions need, on the embedded log."""

import asyncio
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from broker.port import NewRecord
from capture.folder import CaptureFolder
from capture.reader import CaptureReader
from capture.recording.evidence import EvidenceReader
from capture.recording.join import Decided, Pending
from capture.recording.recorder import LogToRecord, record
from capture.recording.values import Wanted
from contract.captures.values import CaptureError
from contract.configs import Checkpoint, checkpoint_record
from contract.evidence import Evidence
from contract.pictures.digest import picture_digest
from contract.requests import DeleteRequest, Headers
from contract.site_requests import GroupRequest, PermissionRequest
from contract.topics import Topics
from tests.integration.test_processor import Running, enrol, match, running
from tests.support.faces import photo
from tests.support.recorded import assert_same_decisions, lines_of, recorded
from tests.support.waiting import until

TOPICS = Topics()


async def decide(system: Running, *requests: Any, **headers: bytes) -> None:
    """Send requests one after the other, each once the one before is decided."""
    for request in requests:
        system.sent += 1
        await system.send(request, **headers)
        await system.wait_for(system.sent)


async def fill(system: Running) -> None:
    """People come and go between matches."""
    await decide(
        system,
        enrol("e1", "anna", 1, info={"name": "Anna", "desk": "secret desk"}),
        enrol("e2", "ben", 2),
        match(1, seed=1),
        match(2, seed=2),
        match(3, seed=50),
        match(4, picture=b"no picture"),
        enrol("e3", "anna", 3, info={"type": 3}, update=True),
        match(5, seed=3),
        DeleteRequest(request_id="d1", identity_id="ben", received_time_s=6.0),
        match(6, seed=2),
        match(7, seed=1, by_permission=True, permission_name="0"),
    )


@pytest.fixture
async def capture(tmp_path: Path) -> Path:
    async with running(tmp_path / "data") as system:
        await fill(system)
        tally = await recorded(system.broker, tmp_path / "out")
    assert (tally.recorded, tally.undecided, tally.without_evidence, tally.too_old) == (7, 0, 0, 0)
    return tmp_path / "out"


async def test_every_decision_comes_out_again_from_the_capture_alone(capture: Path) -> None:
    assert assert_same_decisions(capture) == 7
    outcomes = {name: line.decision.outcome for name, line in lines_of(capture).items() if line.decision}
    assert outcomes == {
        "m1": "matched",
        "m2": "matched",
        "m3": "stranger",
        "m4": "image_error",
        "m5": "blacklisted",
        "m6": "stranger",
        "m7": "blacklisted",
    }


async def test_every_picture_of_a_passage_is_recorded_and_decided_again(tmp_path: Path) -> None:
    further = (photo(2), photo(1, size=120), photo(1, size=120))
    async with running(tmp_path / "data") as system:
        await decide(system, enrol("e1", "anna", 1), match(1, seed=1, further_pictures=further), match(2, seed=1))
        used, repeated, other, unseen = (
            system.registry.get_sample_value("picturematch_passage_pictures_total", {"result": result})
            for result in ("used", "repeated", "other_person", "not_looked_at")
        )
        tally = await recorded(system.broker, tmp_path / "out")
    assert (used, repeated, other, unseen) == (2, 1, 1, 0)
    assert tally.recorded == assert_same_decisions(tmp_path / "out") == 2
    line, single = lines_of(tmp_path / "out").values()
    assert line.decision is not None
    assert single.decision is not None
    assert line.request.further_pictures == tuple(map(picture_digest, further))
    assert [picture.sha256 for picture in line.decision.pictures] == [
        picture_digest(photo(1)),
        *line.request.further_pictures,
    ]
    assert (single.request.further_pictures, single.decision.pictures) == ((), ())
    names = {path.stem for path in (tmp_path / "out" / "pictures").iterdir()}
    assert set(line.request.all_pictures) <= names
    (tmp_path / "out" / "pictures" / f"{picture_digest(photo(2))}.jpg").unlink()
    with pytest.raises(CaptureError, match="missing"):
        CaptureReader(tmp_path / "out")


async def test_a_decision_has_its_evidence_its_policy_and_its_model_set(capture: Path) -> None:
    reader = CaptureReader(capture)
    configs = {line.key for _, line in reader.configs()}
    for name, line in lines_of(capture).items():
        assert line.decision is not None
        assert (line.decision.embedding is not None) is (name != "m4")
        assert {f"policy/{line.decision.policy}", f"model-set/{line.decision.model_set}"} == configs
    assert reader.manifest.people_from == 0


async def test_the_photos_of_the_best_candidates_are_pictures_of_the_capture(capture: Path) -> None:
    reader = CaptureReader(capture)
    assert reader.manifest.photos == "candidates"
    for seed in (1, 2, 3):  # those of anna, and of ben, who was deleted afterwards
        assert reader.has_picture(picture_digest(photo(seed)))


@pytest.mark.parametrize(("photos", "there"), [("none", set()), ("all", {1, 2, 3, 9}), ("candidates", {1})])
async def test_photos_are_recorded_of_everybody_of_candidates_or_of_nobody(
    tmp_path: Path, photos: str, there: set[int]
) -> None:
    async with running(tmp_path / "data") as system:
        people = [enrol(f"e{seed}", f"p{seed}", seed) for seed in (1, 2, 3, 9)]
        await decide(system, *people, match(1, seed=1, picture=photo(1, size=150)))
        await recorded(system.broker, tmp_path / "out", wanted=Wanted(photos=photos))  # type: ignore[arg-type]
    reader = CaptureReader(tmp_path / "out")
    assert {seed for seed in (1, 2, 3, 9) if reader.has_picture(picture_digest(photo(seed)))} == there


async def test_requests_that_replay_others_are_counted_and_not_recorded(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as system:
        await decide(system, match(1))
        await decide(system, match(2), **{Headers.REPLAY_OF: b"m1"})
        tally = await recorded(system.broker, tmp_path / "out")
    assert (tally.recorded, tally.replays) == (1, 1)
    assert list(lines_of(tmp_path / "out")) == ["m1"]


async def test_recording_can_be_restricted_to_outcomes_and_to_a_number(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as system:
        await fill(system)
        some = Wanted(outcomes=frozenset({"matched", "image_error"}))
        await recorded(system.broker, tmp_path / "some", wanted=some)
        assert set(lines_of(tmp_path / "some")) == {"m1", "m2", "m4"}
        first = CaptureReader(tmp_path / "some")
        assert not first.has_picture(picture_digest(photo(50))), "a picture that no line names is not stored"
        assert assert_same_decisions(tmp_path / "some") == 3

        tally = await recorded(system.broker, tmp_path / "three", wanted=Wanted(limit=3))
        assert tally.recorded == len(lines_of(tmp_path / "three")) == 3
        assert (await recorded(system.broker, tmp_path / "three")).recorded == 4
        assert assert_same_decisions(tmp_path / "three") == 7


async def test_a_capture_has_no_changes_of_people_behind_its_last_decision(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as system:
        await decide(system, enrol("e1", "anna", 1), match(1), enrol("e2", "ben", 2))
        await recorded(system.broker, tmp_path / "out")
    assert {line.key.split(b"/")[1] for _, line in CaptureReader(tmp_path / "out").people()} == {b"anna"}


async def test_without_pictures_a_capture_has_embeddings_only(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as system:
        await decide(system, enrol("e1", "anna", 1), match(1, seed=1))
        await recorded(system.broker, tmp_path / "out", wanted=Wanted(pictures=False, photos="none"))
    reader = CaptureReader(tmp_path / "out")
    ((_, line),) = reader.lines()
    assert line.decision is not None
    assert line.decision.embedding is not None
    assert line.request.picture == picture_digest(photo(1))
    assert not list((tmp_path / "out" / "pictures").iterdir())


async def test_a_following_recording_has_people_and_evidence_of_each_line(tmp_path: Path) -> None:
    stop, out = asyncio.Event(), tmp_path / "out"
    async with running(tmp_path / "data") as system:
        await decide(system, enrol("e1", "anna", 1), match(1))
        with CaptureFolder(out) as folder:
            log = LogToRecord(system.broker, TOPICS, time.time, 10**9)
            recording = asyncio.create_task(record(log, folder, stop, follow=True))
            await fill_more(system)
            await until(lambda: (out / "requests.jsonl").read_bytes().count(b"\n") == 13, 20)
            stop.set()
            tally = await recording
    assert (tally.recorded, tally.undecided, tally.without_evidence) == (13, 0, 0)
    assert assert_same_decisions(out) == 13


async def fill_more(system: Running) -> None:
    for number in range(2, 14):
        await decide(system, enrol(f"e{number}", f"p{number}", number), match(number, seed=number))


async def test_a_capture_is_continued_with_the_people_that_changed_since(tmp_path: Path) -> None:
    out = tmp_path / "out"
    async with running(tmp_path / "data") as system:
        await fill(system)
        await recorded(system.broker, out)
        before = [line for _, line in CaptureReader(out).people()]
        await decide(system, enrol("e9", "carla", 9), match(9, seed=9))
        assert (await recorded(system.broker, out)).recorded == 1
    after = [line for _, line in CaptureReader(out).people()]
    assert after[: len(before)] == before
    assert {line.key.split(b"/")[1] for line in after[len(before) :]} == {b"carla"}
    assert assert_same_decisions(out) == 8


async def test_a_capture_whose_people_are_those_of_another_log_is_not_continued(tmp_path: Path) -> None:
    out = tmp_path / "out"
    async with running(tmp_path / "data") as system:
        await decide(system, enrol("e1", "anna", 1), enrol("e2", "ben", 2), match(1))
        await recorded(system.broker, out)
    async with running(tmp_path / "other") as system:
        await decide(system, enrol("e1", "ben", 1), enrol("e2", "anna", 2), match(1), match(2))
        with pytest.raises(CaptureError, match="made from another log"):
            await recorded(system.broker, out)
    async with running(tmp_path / "empty") as system:
        await decide(system, match(1), match(2))
        with pytest.raises(CaptureError, match="made from another log"):
            await recorded(system.broker, out)


@pytest.mark.parametrize(
    ("before", "then", "sentence"),
    [
        (Wanted(), Wanted(device_ip="10.0.0.1"), "begun with --device all"),
        (Wanted(since_s=0.0), Wanted(since_s=5.0), "begun with --since 1970-01-01T00:00:00"),
        (Wanted(), Wanted(outcomes=frozenset({"spoof"})), "begun with --outcome all, and spoof would leave a gap"),
        (Wanted(photos="none"), Wanted(photos="all"), "begun with --photos none"),
        (Wanted(), Wanted(pictures=False), "begun with pictures"),
    ],
)
async def test_a_capture_is_not_continued_with_other_filters(
    tmp_path: Path, before: Wanted, then: Wanted, sentence: str
) -> None:
    async with running(tmp_path / "data") as system:
        await decide(system, match(1))
        await recorded(system.broker, tmp_path / "out", wanted=before)
        with pytest.raises(CaptureError, match=sentence):
            await recorded(system.broker, tmp_path / "out", wanted=then)
        assert (await recorded(system.broker, tmp_path / "out", wanted=before)).recorded == 0
        assert (await recorded(system.broker, tmp_path / "out")).recorded == 0


async def test_filters_that_are_left_out_are_those_of_the_first_recording(tmp_path: Path) -> None:
    wanted = Wanted(outcomes=frozenset({"stranger"}), photos="none", pictures=False)
    async with running(tmp_path / "data") as system:
        await decide(system, enrol("e1", "anna", 1), match(1, seed=1), match(2, seed=50))
        await recorded(system.broker, tmp_path / "out", wanted=wanted)
        await decide(system, match(3, seed=1), match(4, seed=51))
        await recorded(system.broker, tmp_path / "out")
    assert list(lines_of(tmp_path / "out")) == ["m2", "m4"]
    assert not list((tmp_path / "out" / "pictures").iterdir())


async def test_a_checkpoint_that_contradicts_the_people_moves_the_first_version_behind_it(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as system:
        await decide(system, enrol("e1", "anna", 1), match(1, seed=1), enrol("e2", "ben", 2), match(2, seed=2))
        version = system.people.version
        for people, people_from, too_old in ((2, 0, 0), (3, version + 1, 2)):
            told = checkpoint_record(Checkpoint(time=9e8, gallery_version=version, people=people, faces=2))
            await system.broker.append([NewRecord(TOPICS.configs, told.key, told.value, partition=0)])
            tally = await recorded(system.broker, tmp_path / f"out-{people}")
            assert (tally.people_from, tally.too_old) == (people_from, too_old)
            assert CaptureReader(tmp_path / f"out-{people}").manifest.people_from == people_from


async def test_people_and_sites_of_a_device_are_recorded(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as system:
        await decide(
            system,
            GroupRequest(request_id="g1", action="create", name="staff", received_time_s=6.0),
            PermissionRequest(request_id="p1", action="create", name="gate", received_time_s=6.0),
            enrol("e1", "anna", 1, group_names=("staff",)),
            match(1, seed=1, group_name="staff"),
            match(2, seed=1, group_name="nowhere"),
            match(3, seed=1),
        )
        await recorded(system.broker, tmp_path / "out")
    assert assert_same_decisions(tmp_path / "out") == 3


async def test_a_capture_whose_continuation_is_refused_stays_complete(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as system:
        await decide(system, match(1), match(2))
        await recorded(system.broker, tmp_path / "out", wanted=Wanted(limit=1))
        with pytest.raises(CaptureError, match="begun with --device all"):
            await recorded(system.broker, tmp_path / "out", wanted=Wanted(device_ip="10.0.0.1"))
    assert CaptureReader(tmp_path / "out").manifest.complete


async def test_a_stopped_recording_leaves_requests_whose_evidence_it_did_not_find_to_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, stop = tmp_path / "out", asyncio.Event()

    async def stopped_meanwhile(
        reader: EvidenceReader, events: Iterable[tuple[Pending, Decided]]
    ) -> Mapping[Decided, Evidence | None]:
        stop.set()
        found = await search(reader, events)
        return {decided: evidence for decided, evidence in found.items() if decided.event.id == "m1"}

    async with running(tmp_path / "data") as system:
        await fill(system)
        search = EvidenceReader.of
        with monkeypatch.context() as patch, CaptureFolder(out) as folder:
            patch.setattr(EvidenceReader, "of", stopped_meanwhile)
            tally = await record(LogToRecord(system.broker, TOPICS, time.time, 10**9), folder, stop)
        assert (tally.recorded, tally.without_evidence, list(lines_of(out))) == (1, 0, ["m1"])
        tally = await recorded(system.broker, out)
    assert (tally.recorded, tally.without_evidence) == (6, 0)
    assert assert_same_decisions(out) == 7
