"""Pictures that are looked at again: with the same networks nothing differs; with others people are embedded anew."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from capture.accepting import Accepted, accepting
from capture.folder import CaptureFolder
from capture.reader import CaptureReader
from capture.replaying import look
from capture.replaying.decide import LookNeeded, Result
from capture.replaying.galleries import Galleries
from capture.replaying.run import Replay
from capture.replaying.whatif import WhatIf
from capture.rows import Row
from contract.captures.values import CapturedRequest, CaptureError, CaptureLine
from contract.codec import encode
from contract.people.keys import face_key
from contract.people.records import FaceRecord
from engine.calls.enrol import prepare_photo
from engine.gallery.port import Scope
from engine.policy import Policy
from engine.vision.networks.standin import StandInEmbedder
from engine.vision.ports import Embedding, Face, Image, ModelSet
from models.errors import NotInstalled
from tests.support.faces import MODELS, context, photo, scene
from tests.support.recorded_site import RecordedSite
from tests.support.replays import differing, means, replayed

LOOK = WhatIf(look=True)


class Reversed(StandInEmbedder):
    """Another embedder: its vectors cannot be compared with those of the stand-in."""

    def __call__(self, image: Image, face: Face) -> Embedding:
        found = super().__call__(image, face)
        return replace(found, vector=found.vector[::-1].copy())


def other_models() -> ModelSet:
    identities = tuple((role, "other-embedder-r1" if role == "embedder" else name) for role, name in MODELS.identities)
    return replace(MODELS, embedder=Reversed(), identities=identities)


@pytest.fixture
def site() -> RecordedSite:
    site = RecordedSite()
    site.enrol("a", 1)
    site.enrol("b", 2)
    for seed in (1, 2, 3):
        site.match(photo(seed))
    site.match(photo(1, size=61))
    site.match(scene())
    site.match(photo(1), ir_picture=photo(1, infrared=True), liveness_mode="liveness_rgb_ir")
    site.match(photo(1), group_name="unknown")
    site.delete("a")
    site.match(photo(1))
    return site


def test_the_same_networks_decide_the_same(site: RecordedSite, tmp_path: Path) -> None:
    folder = site.capture(tmp_path / "c")
    rows = replayed(folder, LOOK)
    assert differing(rows) == {}
    assert {row.tier for row in rows} == {"look"}
    assert [row.now.candidates for row in rows] == [row.line.decision.candidates for row in rows]
    assert differing(replayed(folder, LOOK, means(jobs=3))) == {}


def test_all_pictures_of_a_passage_are_looked_at(tmp_path: Path) -> None:
    site = RecordedSite()
    site.enrol("a", 1)
    site.match(photo(1), further_pictures=(scene(), photo(1, size=100), photo(2), photo(1)))
    site.match(photo(1, size=61), further_pictures=(photo(1, live=False),), liveness_mode="liveness_rgb")
    site.match(scene(), further_pictures=(photo(1)[:3000],))
    site.match(photo(1), further_pictures=(photo(2),), group_name="unknown")
    folder = site.capture(tmp_path / "c")
    for what_if in (None, LOOK):
        assert differing(replayed(folder, what_if)) == {}
        assert differing(replayed(folder, what_if, means(jobs=2))) == {}
    rows = replayed(folder, LOOK)
    assert [row.tier for row in rows[:3]] == ["look"] * 3
    assert [row.now.pictures for row in rows] == [row.line.decision.pictures for row in rows]
    assert rows[0].now.candidates == rows[0].line.decision.candidates
    assert [picture.left_out for picture in rows[0].now.pictures].count(None) == 2


def test_both_pictures_are_looked_at(site: RecordedSite, tmp_path: Path) -> None:
    rows = replayed(site.capture(tmp_path / "c"), LOOK)
    assert rows[5].now.liveness == rows[5].line.decision.liveness
    assert rows[5].now.liveness.mode == "liveness_rgb_ir"


def test_other_networks_search_people_who_are_embedded_anew(site: RecordedSite, tmp_path: Path) -> None:
    rows = replayed(site.capture(tmp_path / "c"), WhatIf(models=tmp_path), means(other_models()))
    assert differing(rows) == {}, "the other embedder recognises the same people"
    assert rows[0].now.embedder == "other-embedder-r1"
    assert [row.now.outcome for row in rows][-1] == "stranger", "and forgets them when they are deleted"


def embedded_by_another(site: RecordedSite) -> None:
    """Write what `people reembed` writes: a record of the other embedder for each face that is enrolled now."""
    context_of_others = context(models=other_models())
    for who, seed in (("b", 2),):
        prepared = prepare_photo(photo(seed), (), context_of_others).face
        assert prepared is not None
        face = FaceRecord(
            identity_id=who,
            number=0,
            embedder="other-embedder-r1",
            templates=prepared.templates,
            photo=site.people.photo(who, 0),
        )
        site.write([(face_key(who, 0, "other-embedder-r1"), encode(face))])


def test_a_record_of_the_other_embedder_serves_the_decisions_before_it_and_needs_no_photo(
    site: RecordedSite, tmp_path: Path
) -> None:
    embedded_by_another(site)
    site.match(photo(2))
    replay = Replay(
        CaptureReader(site.capture(tmp_path / "c", photos=False)), LOOK, means(other_models()), skips_photos=True
    )
    assert replay.notes == ["1 faces of then have no photo any more, which the networks need"], "that of a"
    rows = list(replay.rows())
    found = {row.number: (row.line.decision.identity_id, row.now.identity_id) for row in rows if row.line.decision}
    assert found[2] == ("b", "b"), "decided before the record was written"
    assert found[len(rows)] == ("b", "b")
    assert found[1][0] == "a"
    assert found[1][1] != "a", "whose photo is gone with the person"


def test_removed_records_of_the_former_embedder_remove_no_face_of_the_other_one(
    site: RecordedSite, tmp_path: Path
) -> None:
    embedded_by_another(site)
    site.write([(face_key("b", 0, MODELS.embedder_identity), None)])
    given = means(other_models())
    replay = Replay(CaptureReader(site.capture(tmp_path / "c", photos=False)), LOOK, given, skips_photos=True)
    assert [row.now.identity_id for row in replay.rows() if row.number == 2] == ["b"]
    last, installed = replay.searched.now, given.installed
    assert not Galleries(replay.searched, installed).is_foreign(last.end, "other-embedder-r1")
    snapshot = Galleries(replay.searched, installed).now(last.end, "other-embedder-r1")
    assert snapshot.gallery.count(Scope()) == 1


def test_other_networks_need_the_photos(site: RecordedSite, tmp_path: Path) -> None:
    folder = site.capture(tmp_path / "c", photos=False)
    with pytest.raises(CaptureError, match="record it again with --photos all"):
        replayed(folder, LOOK, means(other_models()))


def test_faces_that_other_networks_cannot_search_are_counted(site: RecordedSite, tmp_path: Path) -> None:
    site.write(site.feature("c", 5))
    folder = site.capture(tmp_path / "c")
    replay = Replay(CaptureReader(folder), LOOK, means(other_models()))
    assert replay.notes == ["1 faces have no photo, which the installed networks need"]


def test_a_single_look_does_not_mix_embedders(site: RecordedSite, tmp_path: Path) -> None:
    site.change_last(embedding=None, candidates=())
    *_, last = replayed(site.capture(tmp_path / "c"), given=means(other_models()))
    assert "the installed embedder is not the one of then" in (last.trouble or "")


def test_networks_that_are_not_installed_end_a_replay_that_needs_them_for_all(
    site: RecordedSite, tmp_path: Path
) -> None:
    with pytest.raises(NotInstalled):
        replayed(site.capture(tmp_path / "c"), LOOK, means(None))


def test_the_threshold_of_then_is_kept_although_the_settings_have_changed(site: RecordedSite, tmp_path: Path) -> None:
    site.policy = Policy(threshold=0.97)
    site.match(photo(2, size=61))
    assert differing(replayed(site.capture(tmp_path / "c"), LOOK, means(present=Policy(threshold=0.1)))) == {}


def test_few_pictures_are_in_memory_at_once(
    site: RecordedSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(60):
        site.match(photo(1))
    reader = CaptureReader(site.capture(tmp_path / "c"))
    read, lock, taken, most = 0, threading.Lock(), 0, 0
    picture = reader.picture

    def counted(sha256: str) -> bytes:
        nonlocal read, most
        with lock:
            read += 1
            most = max(most, read - taken)
        return picture(sha256)

    monkeypatch.setattr(reader, "picture", counted)
    for _ in Replay(reader, LOOK, means(jobs=2)).rows():
        taken += 1
    assert taken == len(site.lines)
    assert most <= 2 * look._AHEAD + 4


def test_a_missing_picture_ends_the_replay_or_is_trouble(site: RecordedSite, tmp_path: Path) -> None:
    folder = site.capture(tmp_path / "c")
    reader, going_on = CaptureReader(folder), CaptureReader(folder, keep_going=True)
    (folder / "pictures" / f"{site.lines[2].request.picture}.jpg").unlink()
    missing = r"line 3 of requests.jsonl cannot be looked at: .* has no pictures/"
    with pytest.raises(CaptureError, match=missing):
        list(Replay(reader, LOOK, means()).rows())
    rows = list(Replay(going_on, LOOK, means()).rows())
    assert [row.number for row in rows if row.trouble] == [3]


def test_a_hand_made_capture_is_compared_with_what_it_expects(tmp_path: Path) -> None:
    people = RecordedSite()
    people.enrol("a", 1)
    people.enrol("b", 2, info={"type": 3})
    gallery = people.capture(tmp_path / "people")
    with CaptureFolder(tmp_path / "made") as out:
        for number, (seed, expected) in enumerate([(1, "a"), (2, "b"), (3, ""), (1, "b"), (3, "a"), (1, None)]):
            request = CapturedRequest(picture=out.keep_picture(photo(seed)), device_ip="gate")
            out.append([CaptureLine(request_id=f"h{number}", request=request, expected_identity_id=expected)])
    with pytest.raises(CaptureError, match="no people to search; name others with --gallery or --add-people"):
        replayed(tmp_path / "made")
    rows = replayed(tmp_path / "made", WhatIf(gallery=gallery), other=CaptureReader(gallery))
    assert differing(rows) == {4: [("identity_id", "b", "a")], 5: [("identity_id", "a", "")]}
    assert rows[5].differences is None
    assert {row.tier for row in rows} == {"look"}


def test_a_capture_without_pictures_can_only_be_decided(site: RecordedSite, tmp_path: Path) -> None:
    site.change_last(embedding=None, candidates=())
    folder = site.capture(tmp_path / "c")
    with CaptureFolder(folder) as out:
        out.describe(pictures=False)
    *rows, last = replayed(folder)
    assert differing(rows) == {}
    assert "the capture was recorded without pictures" in (last.trouble or "")
    with pytest.raises(CaptureError, match="cannot be looked at again"):
        replayed(folder, LOOK)


def test_few_rows_wait_for_an_earlier_look(site: RecordedSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = CaptureReader(site.capture(tmp_path / "c"))
    replay = Replay(reader, LOOK, means())
    (_, line), read, may_end = next(iter(reader.lines())), 0, threading.Event()

    def results() -> Iterator[Result]:
        nonlocal read
        yield LookNeeded(1, line, "it is slow")
        for number in range(2, 100_002):
            read += 1
            yield Row(number, line)

    def slow(sha256: str) -> bytes:
        may_end.wait(20)
        return reader.picture(sha256)

    threading.Timer(0.3, may_end.set).start()
    rows = look.Looker(replay._given, means().open_networks(), slow).rows(results(), 2)
    assert next(rows).number == 1
    assert read <= look.MOST_WAITING
    assert sum(1 for _ in rows) == 100_000


def test_a_look_that_is_done_does_not_wait_for_further_looks(site: RecordedSite, tmp_path: Path) -> None:
    reader = CaptureReader(site.capture(tmp_path / "c"))
    replay = Replay(reader, LOOK, means())
    (_, line), read, done = next(iter(reader.lines())), 0, threading.Event()

    def results() -> Iterator[Result]:
        nonlocal read
        yield LookNeeded(1, line, "it is quick")
        done.wait(20)
        time.sleep(0.2)
        for number in range(2, 1000):
            read += 1
            yield Row(number, line)

    def picture(sha256: str) -> bytes:
        done.set()
        return reader.picture(sha256)

    assert next(look.Looker(replay._given, means().open_networks(), picture).rows(results(), 8)).number == 1
    assert read <= 1


def test_a_look_that_is_needed_does_not_mix_networks(site: RecordedSite, tmp_path: Path) -> None:
    models = dict(site.lines[-1].decision.models)
    role = next(role for role in models if role != "embedder")
    site.change_last(embedding=None, candidates=(), models={**models, role: "another-r1"})
    folder = site.capture(tmp_path / "c")
    *rows, last = replayed(folder)
    assert differing(rows) == {}
    assert f"the installed {role} is not the one of then; use --look" in (last.trouble or "")
    assert replayed(folder, LOOK)[-1].tier == "look"


def test_accepted_looks_are_decided_again_from_their_embeddings(site: RecordedSite, tmp_path: Path) -> None:
    site.match(photo(2))
    site.change_last(outcome="stranger", retcode="0", identity_id="", embedding=None, candidates=())
    folder, accepted = site.capture(tmp_path / "c"), Accepted()
    list(accepting(folder, Replay(CaptureReader(folder), LOOK, means()).rows(), accepted))
    assert accepted.decisions == 1
    rows = replayed(folder, given=means(None))
    assert differing(rows) == {}
    assert (rows[-1].tier, rows[-1].now.outcome, len(rows[-1].now.candidates)) == ("decide", "matched", 1)


def test_the_decisions_of_another_embedder_are_not_accepted_although_the_evidence_is_gone(
    site: RecordedSite, tmp_path: Path
) -> None:
    site.match(photo(2))
    site.change_last(outcome="stranger", retcode="0", identity_id="", embedding=None, embedder=None, candidates=())
    folder, accepted = site.capture(tmp_path / "c"), Accepted()
    rows = Replay(CaptureReader(folder), WhatIf(look=True), means(other_models())).rows()
    with pytest.raises(CaptureError, match=r"the embedder of then was .*, and that of now is other-embedder-r1"):
        list(accepting(folder, rows, accepted))
    assert accepted.decisions == 0
