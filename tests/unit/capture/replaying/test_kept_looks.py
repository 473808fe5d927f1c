"""Embeddings whose evidence is gone are computed once and kept beside the capture."""

from pathlib import Path

import pytest
from msgspec import structs

from capture.looks import LooksFile
from capture.reader import CaptureReader
from capture.replaying import run
from capture.replaying.whatif import WhatIf
from contract.captures.values import CaptureError
from contract.configs import model_set_record
from engine.policy import Policy
from tests.support.faces import MODELS, photo, scene
from tests.support.recorded_site import RecordedSite
from tests.support.replays import differing, means, replayed

MODEL_SET = model_set_record(dict(MODELS.identities)).id


def lose(site: RecordedSite) -> None:
    site.change_last(embedding=None, candidates=(), embedder=None)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> RecordedSite:
    monkeypatch.setattr(run, "CHUNK_BYTES", 1500)  # of about two lines
    site = RecordedSite()
    site.enrol("a", 1)
    site.enrol("b", 2)
    for seed in (1, 2, 3):
        site.match(photo(seed, size=91))
        lose(site)
        site.match(photo(seed))
        site.match(scene())
    return site


def kept(folder: Path) -> list[str]:
    return [look.request_id for _, look in CaptureReader(folder).looks(MODEL_SET)]


def tiers(rows: list) -> list[str]:
    return ["-" if row.tier is None else row.tier[0] for row in rows]


def test_the_second_replay_needs_no_networks(site: RecordedSite, tmp_path: Path) -> None:
    folder = site.capture(tmp_path / "c")
    first = replayed(folder)
    assert (differing(first), "".join(tiers(first))) == ({}, "lddlddldd")
    assert kept(folder) == ["r0", "r3", "r6"]
    for jobs in (1, 2):
        second = replayed(folder, given=means(None, jobs=jobs))
        assert (differing(second), "".join(tiers(second))) == ({}, "d" * 9)
    assert kept(folder) == ["r0", "r3", "r6"], "nothing is kept twice"
    changed = replayed(folder, WhatIf(threshold=0.9999), means(None))
    assert differing(changed).keys() == {1, 4}


def replace_jobs(jobs: int):
    return means(None, jobs=jobs)


def test_a_kept_embedding_decides_as_a_look_however_near_the_threshold_is(site: RecordedSite, tmp_path: Path) -> None:
    site.match(photo(1, size=61))
    cosine = site.lines[-1].decision.candidates[0].cosine
    for threshold in (cosine, cosine + 1e-4, cosine + 2e-3):
        site.policy = Policy(threshold=threshold)
        site.match(photo(1, size=61))
        lose(site)
    folder = site.capture(tmp_path / "c")
    replayed(folder)
    again = replayed(folder)
    assert (differing(again), tiers(again)[-3:]) == ({}, ["d", "d", "d"])
    assert len(kept(folder)) == 6


def test_an_embedding_that_does_not_give_the_recorded_score_is_not_kept(site: RecordedSite, tmp_path: Path) -> None:
    site.lines[0] = structs.replace(
        site.lines[0], decision=structs.replace(site.lines[0].decision, score=site.lines[0].decision.score - 0.1)
    )
    folder = site.capture(tmp_path / "c")
    assert differing(replayed(folder)).keys() == {1}
    assert kept(folder) == ["r3", "r6"]


def test_looks_that_cannot_be_kept_are_no_error(site: RecordedSite, tmp_path: Path) -> None:
    folder = site.capture(tmp_path / "c")
    with LooksFile(folder, MODEL_SET) as of_another_replay:
        assert of_another_replay.keeps
        assert differing(replayed(folder)) == {}
    assert kept(folder) == []


def test_a_damaged_file_of_looks_is_named_with_the_way_out(site: RecordedSite, tmp_path: Path) -> None:
    folder = site.capture(tmp_path / "c")
    replayed(folder)
    file = folder / "looks" / f"{MODEL_SET}.jsonl"
    file.write_bytes(file.read_bytes().replace(b'"r3"', b'"r4"'))
    with pytest.raises(CaptureError, match="delete the file, and a replay computes what it contained again"):
        replayed(folder)
    file.unlink()
    assert differing(replayed(folder)) == {}


def test_kept_looks_differ_in_nothing_on_the_percent_scale(tmp_path: Path) -> None:
    site = RecordedSite()
    site.policy = Policy(score_scale="percent")
    site.enrol("a", 1)
    site.enrol("b", 2)
    for seed in range(1, 12):
        for size in (91, 77):
            site.match(photo(seed if seed < 3 else 1 + seed % 3, size=size))
            lose(site)
    folder = site.capture(tmp_path / "c")
    assert differing(replayed(folder)) == {}
    again = replayed(folder, given=means(None))
    assert (differing(again), set(tiers(again))) == ({}, {"d"})


def test_looks_are_found_in_any_order_and_kept_once(site: RecordedSite, tmp_path: Path) -> None:
    folder = site.capture(tmp_path / "c")
    replayed(folder)
    looks = [look for _, look in CaptureReader(folder).looks(MODEL_SET)]
    (folder / "looks" / f"{MODEL_SET}.jsonl").unlink()
    with LooksFile(folder, MODEL_SET) as file:
        file.append([looks[2], looks[0]])
    assert "".join(tiers(replayed(folder))) == "dddlddddd"
    assert kept(folder) == ["r6", "r0", "r3"]
    for _ in range(2):
        assert "".join(tiers(replayed(folder, given=means(None)))) == "d" * 9
        replayed(folder, WhatIf(look=True))
    assert kept(folder) == ["r6", "r0", "r3"]


def test_a_replay_that_changes_something_keeps_no_looks(site: RecordedSite, tmp_path: Path) -> None:
    folder = site.capture(tmp_path / "c")
    replayed(folder, WhatIf(threshold=0.4))
    assert kept(folder) == []
