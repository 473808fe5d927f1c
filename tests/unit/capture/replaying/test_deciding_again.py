"""A recorded capture that is decided again from its embeddings: nothing differs unless something was changed."""

from pathlib import Path

import numpy as np
import pytest
from msgspec import structs

from capture.reader import CaptureReader
from capture.replaying.decide import PRESENT_SETTINGS, TOO_NEAR
from capture.replaying.run import Replay
from capture.replaying.whatif import WhatIf
from contract.captures.values import CaptureError
from contract.codec import encode
from contract.errors import Code, Refusal
from contract.people.keys import face_key, person_key
from contract.people.records import WHOLE_FACE, FaceRecord, PersonRecord
from contract.site_requests import DeviceChange, DevicesRequest, SettingsRequest
from engine.look import Wanted, look
from engine.policy import Policy
from processor.processing import EXPIRED
from tests.support.faces import MODELS, context, photo, scene
from tests.support.recorded_site import RECEIVED_S, RecordedSite
from tests.support.replays import differing, means, replayed

WORKDAY = [{"days": [1, 2, 3, 4, 5], "from": "08:00", "to": "17:00"}]


def tiers(rows: list) -> list[str | None]:
    return [row.tier for row in rows]


def outcomes(rows: list) -> list[str | None]:
    return [row.now and row.now.outcome for row in rows]


@pytest.fixture
def site() -> RecordedSite:
    return RecordedSite()


def test_every_outcome_comes_out_again_without_any_network(site: RecordedSite, tmp_path: Path) -> None:
    site.match(photo(1))  # nobody is enrolled
    site.enrol("a", 1)
    site.enrol("b", 2, info={"type": 3})
    site.enrol("c", 3, info={"valid_until": RECEIVED_S - 1})
    for seed in (1, 2, 3, 4):
        site.match(photo(seed))
    site.match(scene())
    site.match(b"no picture")
    site.match(photo(1, live=False), liveness_mode="liveness_rgb")
    site.match(photo(1), liveness_mode="liveness_rgb_ir")  # the infrared picture is missing
    site.match(photo(1), ir_picture=photo(1), liveness_mode="liveness_rgb_ir")
    site.match(photo(1), group_name="unknown")
    site.match(photo(1), permission_name="unknown", group_name="default_group")
    site.group("create", "empty")
    site.match(photo(1), group_name="empty")
    site.policy = Policy(unknown_device="reject")
    site.match(photo(1))
    site.policy = Policy(match_quality="high")
    site.match(photo(1, yaw=60.0))
    site.policy = Policy(score_scale="percent", accepted_score=70.0)
    site.match(photo(1))
    site.policy = Policy(allow_keep_info=True)
    site.match(photo(4), need_keep_info=True)
    rows = replayed(site.capture(tmp_path / "c"), given=means(None))
    assert differing(rows) == {}
    assert {row.line.decision.outcome for row in rows} >= {
        *("matched", "stranger", "blacklisted", "not_valid", "no_face", "image_error", "spoof", "low_quality", "error"),
        "empty_group",
    }
    assert set(tiers(rows)) == {"decide"}
    for row in rows:
        assert row.now == structs.replace(row.line.decision), "every field of the decision comes out again"


def test_deletions_enrolments_and_groups_in_between_do_not_matter(site: RecordedSite, tmp_path: Path) -> None:
    site.enrol("a", 1)
    site.enrol("b", 2)
    site.group("create", "staff")
    for round_ in range(6):
        site.match(photo(1))
        site.match(photo(2), group_name="staff")
        if round_ == 1:
            site.members("add", "staff", "a", "b")
        if round_ == 2:
            site.delete("a")
        if round_ == 3:
            site.enrol("a", 2)  # other face under the same number
        if round_ == 4:
            site.group("delete", "staff")
    rows = replayed(site.capture(tmp_path / "c"), given=means(None))
    assert differing(rows) == {}
    assert len(set(outcomes(rows))) == 4


def test_two_processors_that_lag_behind_each_other_are_no_difference(site: RecordedSite, tmp_path: Path) -> None:
    versions = []
    for number in range(12):
        site.enrol(f"p{number % 4}{number}", number % 4)
        versions.append(site.people.version)
        site.match(photo(number % 4))
        site.match(photo(number % 4), version=versions[number // 2])
    assert differing(replayed(site.capture(tmp_path / "c"), given=means(None))) == {}


def test_many_people_with_the_same_face_are_no_difference(site: RecordedSite, tmp_path: Path) -> None:
    for who in "hgfedcba":
        site.enrol(who, 1)
        site.match(photo(1))
    for who in "abc":
        site.delete(who)
        site.match(photo(1, yaw=3.0))
    rows = replayed(site.capture(tmp_path / "c"), given=means(None))
    assert differing(rows) == {}
    assert [row.now.identity_id for row in rows] == ["h", "g", "f", "e", "d", "c", "b", "a", "b", "c", "d"]


def test_a_threshold_exactly_at_the_cosine_decides_as_then(site: RecordedSite, tmp_path: Path) -> None:
    site.enrol("a", 1)
    spoilt = photo(1, size=61)
    site.match(spoilt)
    cosine = site.lines[0].decision.candidates[0].cosine
    assert 0.5 < cosine < 1
    above = float(np.nextafter(cosine, 1))
    site.policy = Policy(threshold=cosine)
    site.match(spoilt)
    site.policy = Policy(threshold=above)
    site.match(spoilt)
    folder = site.capture(tmp_path / "c")
    rows = replayed(folder, given=means(None))
    assert (differing(rows), outcomes(rows)) == ({}, ["matched", "matched", "stranger"])
    assert outcomes(replayed(folder, WhatIf(threshold=cosine), means(None))) == ["matched"] * 3
    assert outcomes(replayed(folder, WhatIf(threshold=above), means(None))) == ["stranger"] * 3


def test_a_changed_threshold_differs_where_it_matters(site: RecordedSite, tmp_path: Path) -> None:
    site.enrol("a", 1)
    site.match(photo(1, size=61))
    site.match(photo(2))
    site.match(scene())
    score = site.lines[0].decision.score
    rows = replayed(site.capture(tmp_path / "c"), WhatIf(threshold=0.999), means(None))
    assert differing(rows) == {1: [("outcome", "matched", "stranger"), ("retcode", "1", "0"), ("identity_id", "a", "")]}
    assert (rows[0].now.score, rows[0].now.threshold, rows[0].tier) == (score, 0.999, "decide")


def test_pass_times_are_those_of_the_recorded_clock_over_daylight_saving(site: RecordedSite, tmp_path: Path) -> None:
    """On 26 March 2023 the clocks of Berlin went from 02:00 to 03:00, on 29 October 2023 from 03:00 back to 02:00."""
    site.policy = Policy(time_zone="Europe/Berlin")
    site.permission("create", "night", info={"pass_times": [{"days": [7], "from": "02:30", "to": "03:30"}]})
    night = next(p.permission_id for p in site.people.site.permissions.values() if p.name == "night")
    site.enrol("a", 1, info={"permission_ids": [night]})
    fields = {"group_name": "default_group", "permission_name": "night", "compare_time_s": 0.0}
    spring, autumn = 1_679_792_400.0, 1_698_537_600.0  # 01:00 UTC, and 00:00 UTC = 02:00 in summer time
    for hours in (-0.25, 0.1, 0.6):
        site.match(photo(1), received_time_s=spring + 3600 * hours, **fields)
    for hours in (0.25, 0.75, 1.25, 1.75, 2.25, 2.75):
        site.match(photo(1), received_time_s=autumn + 3600 * hours, **fields)
    rows = replayed(site.capture(tmp_path / "c"), given=means(None))
    assert differing(rows) == {}
    assert outcomes(rows[:3]) == ["not_in_pass_time", "matched", "not_in_pass_time"]
    assert set(outcomes(rows[3:])) == {"matched", "not_in_pass_time"}


def test_settings_of_the_site_come_with_the_recorded_policy(site: RecordedSite, tmp_path: Path) -> None:
    site.enrol("a", 1)
    site.ask(SettingsRequest, values={"confidence_threshold": 0.5})
    site.policy = Policy(threshold=0.95)
    site.match(photo(1, size=61))
    site.policy = Policy(threshold=0.2)
    site.match(photo(1, size=61))
    assert differing(replayed(site.capture(tmp_path / "c"), given=means(None, Policy(threshold=0.99)))) == {}


def test_a_decision_without_its_policy_uses_the_present_settings_and_says_so(
    site: RecordedSite, tmp_path: Path
) -> None:
    site.enrol("a", 1)
    site.match(photo(1))
    site.change_last(policy=None)
    site.match(photo(1))
    rows = replayed(site.capture(tmp_path / "c"), given=means(None, Policy(blacklist_opens=True)))
    assert differing(rows) == {}
    assert [row.remark for row in rows] == [PRESENT_SETTINGS, None]


def test_what_was_no_decision_is_not_compared(site: RecordedSite, tmp_path: Path) -> None:
    site.enrol("a", 1)
    for refusal in (EXPIRED, Refusal(Code.OVERLOADED, "unreadable"), Refusal(Code.INTERNAL_ERROR, "a fault")):
        site.match(photo(1), refusal)
    folder = site.capture(tmp_path / "c")
    for row in replayed(folder):
        assert (row.differences, row.trouble, row.now, row.tier) == (None, None, None, None)
    for row in replayed(folder, WhatIf(look=True)):
        assert (row.differences, row.now.outcome, row.tier) == (None, "matched", "look")


def test_decisions_older_than_the_people_are_refused_one_by_one(site: RecordedSite, tmp_path: Path) -> None:
    site.enrol("a", 1)
    site.match(photo(1))
    site.enrol("b", 2)
    site.match(photo(2))
    first, second = replayed(site.capture(tmp_path / "c", people_from=site.people.version))
    assert first.now is None
    assert "at gallery version 2, and the people of the capture are known from version 4 on" in (first.trouble or "")
    assert (second.differences, second.trouble) == ((), None)


def test_evidence_that_the_people_contradict_is_an_alarm(site: RecordedSite, tmp_path: Path) -> None:
    site.enrol("a", 1)
    site.enrol("b", 2)
    site.match(photo(1))
    then = site.lines[-1].decision
    tampered = structs.replace(then.candidates[0], cosine=0.6)
    for candidates in ((tampered, then.candidates[1]), then.candidates[::-1], then.candidates[:1]):
        site.match(photo(1))
        site.change_last(candidates=candidates)
    site.match(photo(1))
    site.change_last(embedding=site.lines[-1].decision.embedding[:-2])
    site.match(photo(1))
    site.change_last(applied=structs.replace(then.applied, faces=7))
    rows = replayed(site.capture(tmp_path / "c"))
    assert rows[0].trouble is None
    assert ["contradicts" in (row.trouble or "") for row in rows[1:]] == [True, True, True, False, True]
    assert "not the length of the enrolled faces" in (rows[4].trouble or "")


def test_lost_evidence_needs_a_look(site: RecordedSite, tmp_path: Path) -> None:
    site.enrol("a", 1)
    site.match(photo(1))
    site.change_last(embedding=None, candidates=(), embedder=None)
    site.match(photo(1))
    folder = site.capture(tmp_path / "c")
    lost, kept = replayed(folder, given=means(None))
    assert "its evidence is gone, so that its picture must be looked at; the networks are not" in (lost.trouble or "")
    assert (kept.tier, kept.differences) == ("decide", ())
    rows = replayed(folder)
    assert (differing(rows), tiers(rows)) == ({}, ["look", "decide"])


def test_a_look_follows_where_the_request_was_refused_before_its_picture_was_looked_at(
    site: RecordedSite, tmp_path: Path
) -> None:
    site.enrol("a", 1)
    site.match(photo(1), group_name="later")
    site.match(scene(), group_name="later")
    site.group("create", "later")
    site.match(photo(1), group_name="later")
    site.members("add", "later", "a")
    rows = replayed(site.capture(tmp_path / "c"), WhatIf(gallery_version=site.people.version))
    assert (tiers(rows), outcomes(rows)) == (["look", "look", "decide"], ["matched", "no_face", "matched"])
    assert differing(rows).keys() == {1, 2, 3}


def test_only_lines_whose_picture_must_pass_other_checks_are_looked_at(site: RecordedSite, tmp_path: Path) -> None:
    site.enrol("a", 1)
    site.match(photo(1))
    site.match(photo(1), liveness_mode="liveness_rgb")
    site.match(photo(1, live=False))
    site.match(photo(1), group_name="unknown")
    folder = site.capture(tmp_path / "c")
    rows = replayed(folder, WhatIf(liveness_mode="liveness_rgb"))
    assert tiers(rows) == ["look", "decide", "look", "decide"]
    assert outcomes(rows) == ["matched", "matched", "spoof", "error"]
    assert tiers(replayed(folder, WhatIf(quality="high"))) == ["look", "look", "look", "decide"]
    assert tiers(replayed(folder, WhatIf(quality="no"))) == ["decide"] * 4


def test_a_device_that_demands_more_in_another_gallery_leads_to_a_look(site: RecordedSite, tmp_path: Path) -> None:
    site.enrol("a", 1)
    site.match(photo(1))
    site.match(photo(1), device_ip="10.0.0.2")
    change = DeviceChange(name="gate", address="10.0.0.1", device_type="photo", liveness_floor="liveness_rgb")
    site.ask(DevicesRequest, action="create", devices=(change,))
    rows = replayed(site.capture(tmp_path / "c"), WhatIf(gallery_version=site.people.version))
    assert (tiers(rows), differing(rows)) == (["look", "decide"], {})


def test_the_gallery_of_another_version_or_time(site: RecordedSite, tmp_path: Path) -> None:
    site.enrol("a", 1)
    early = site.people.version
    site.match(photo(2))
    site.enrol("b", 2)
    site.match(photo(2))
    folder = site.capture(tmp_path / "c")
    assert outcomes(replayed(folder, WhatIf(gallery_version=early))) == ["stranger", "stranger"]
    assert outcomes(replayed(folder, WhatIf(gallery_version=10_000))) == ["matched", "matched"]
    assert outcomes(replayed(folder, WhatIf(gallery_time=RECEIVED_S + early - 1))) == ["stranger", "stranger"]
    assert outcomes(replayed(folder, WhatIf(gallery_time=RECEIVED_S + early + 9))) == ["matched", "matched"]


def test_a_target_is_computed_from_the_curve_and_needs_it(site: RecordedSite, tmp_path: Path) -> None:
    site.policy = Policy(threshold=0.9)
    site.enrol("a", 1)
    site.match(photo(1, size=61))
    folder = site.capture(tmp_path / "c")
    (row,) = replayed(folder, WhatIf(target_fpir=0.001))
    assert row.now.applied.rule == "model"  # the stand-in embedder has no curve
    (row,) = replayed(folder, WhatIf(target_fpir=0.001), means(None))
    assert "the curve of its embedder is not known" in (row.trouble or "")


def test_many_versions_in_one_chunk_are_no_difference(site: RecordedSite, tmp_path: Path) -> None:
    """Each refusal has people and a policy of its own, which nothing else needs any more."""
    for number in range(80):
        site.group("create", f"g{number}")
        site.policy = Policy(threshold=0.3 + number / 1000)
        site.match(scene(), group_name=f"g{number}")
        site.change_last(policy=None)
        site.match(scene(), group_name=f"g{number + 1}")
        site.change_last(policy=None)
    rows = replayed(site.capture(tmp_path / "c"), given=means(None))
    assert differing(rows) == {}
    assert outcomes(rows) == ["no_face", "error"] * 80


def test_people_that_a_damaged_capture_lacks_are_not_guessed(site: RecordedSite, tmp_path: Path) -> None:
    site.enrol("a", 1)
    site.match(photo(1))
    site.enrol("b", 2)
    site.match(photo(2))
    folder = site.capture(tmp_path / "c")
    people = folder / "people.jsonl"
    people.write_bytes(b"".join(people.read_bytes().splitlines(keepends=True)[:3]))
    with pytest.raises(CaptureError, match=r"line 4 of people\.jsonl is missing"):
        Replay(CaptureReader(folder, check=False), WhatIf(), means())
    first, second = Replay(CaptureReader(folder, keep_going=True), WhatIf(), means()).rows()
    assert first.differences == ()
    assert "the damaged capture has the people up to version 3" in (second.trouble or "")


def test_a_line_without_a_decision_is_decided_among_the_people_of_its_time(site: RecordedSite, tmp_path: Path) -> None:
    site.enrol("a", 1)
    late = RECEIVED_S + site.people.version
    site.enrol("b", 2)
    for time in (late - 1, late + 5):
        site.match(photo(2), received_time_s=time)
        site.lines[-1] = structs.replace(site.lines[-1], decision=None, expected_identity_id="b")
    rows = replayed(site.capture(tmp_path / "c"))
    assert differing(rows) == {1: [("identity_id", "b", "")]}


@pytest.mark.parametrize("lines", [5, 20])
@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_an_embedding_that_is_not_finite_is_refused(
    site: RecordedSite, tmp_path: Path, lines: int, number: float
) -> None:
    site.enrol("a", 1)
    for _ in range(lines):
        site.match(photo(1, size=91))
    half = np.frombuffer(site.lines[-1].decision.embedding, "<f2").copy()
    half[3] = number
    for place in (1, 3):
        line = site.lines[place]
        decision = structs.replace(line.decision, embedding=half.tobytes())
        site.lines[place] = structs.replace(line, decision=decision)
    rows = replayed(site.capture(tmp_path / "c"), given=means(None))
    refused = [row.number for row in rows if row.trouble == "its recorded embedding has numbers that are not finite"]
    assert refused == [2, 4]
    assert all(row.differences == () for row in rows if row.number not in refused)


def nearly(site: RecordedSite, who: str, cosine: float) -> None:
    """Enrol a person whose cosine to the picture of the test is given."""
    found = look(photo(1, size=91), Wanted(), context()).embedding
    assert not isinstance(found, Refusal)
    probe = found.vector.astype(np.float64)
    aside = np.random.default_rng(1).standard_normal(len(probe))
    aside -= aside @ probe * probe
    vector = cosine * probe + np.sqrt(1 - cosine * cosine) * aside / np.linalg.norm(aside)
    embedder = MODELS.embedder_identity
    face = FaceRecord(
        identity_id=who, number=0, embedder=embedder, templates={WHOLE_FACE: vector.astype("<f4").tobytes()}
    )
    person = PersonRecord(identity_id=who, group_ids=("default_group",), info={}, faces=(0,), next_face=1)
    site.write([(face_key(who, 0, embedder), encode(face)), (person_key(who), encode(person))])


@pytest.mark.parametrize("jobs", [1, 2])
def test_among_other_people_a_look_decides_what_half_precision_cannot(
    site: RecordedSite, tmp_path: Path, jobs: int
) -> None:
    site.policy = Policy(threshold=0.5)
    nearly(site, "anna", 0.6)
    site.match(photo(1, size=91))
    nearly(site, "eve", 0.6002)
    folder = site.capture(tmp_path / "c")
    newest = WhatIf(gallery_version=site.people.version)
    (row,) = replayed(folder, newest, means(jobs=jobs))
    assert (row.tier, row.now.identity_id) == ("look", "eve")
    (row,) = replayed(folder, newest, means(None, jobs=jobs))
    assert (row.tier, row.trouble, row.remark) == ("decide", None, TOO_NEAR)
    (row,) = replayed(folder, WhatIf(gallery_version=1 + 1), means(None))
    assert (row.now.identity_id, row.remark) == ("anna", None)
    (row,) = replayed(folder, WhatIf(gallery_version=site.people.version, threshold=0.7), means(None))
    assert (row.now.outcome, row.remark) == ("stranger", None)
