"""The explanation of a match, for every outcome and every single change."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from msgspec import structs

from capture.explaining.matches import explain_match
from capture.explaining.values import Explanation, Flip, Then
from contract.errors import Code, Refusal
from contract.people.site import DeviceRecord, GroupRecord, PermissionRecord
from engine.gallery.port import Scope
from engine.policy import Policy, QualityLimits
from engine.vision.networks.standin import draw_face
from tests.support.faces import photo, scene
from tests.support.then import DECIDED_S, RECEIVED_S, Past, without_evidence, without_picture

EXPIRED = Refusal(Code.TIMEOUT, "the answer was not ready within the deadline")
NIGHT = [{"days": [1, 2, 3, 4, 5, 6, 7], "from": "22:00", "to": "23:00"}]


@pytest.fixture
def past() -> Past:
    past = Past()
    past.enrol("anna", 1, info={"name": "Anna"})
    past.enrol("ben", 2, info={"name": "Ben", "type": 3})
    for seed in range(10, 16):
        past.enrol(f"other-{seed}", seed)
    return past


def flip(explanation: Explanation, words: str) -> Flip:
    """The flip whose change contains these words."""
    (found,) = [each for each in explanation.flips if words in each.change]
    return found


def unchanged(then: Then) -> Explanation:
    """The explanation, which has no alarm in any way that is left."""
    for left in (then, without_evidence(then), without_picture(then)):
        explanation = explain_match(left)
        assert explanation.alarms == ()
        assert explanation.outcome == then.decision.outcome
        assert explanation.flips or explanation.no_flip
    return explain_match(then)


def test_a_match_names_its_five_candidates_with_margins_and_the_cosine_that_it_could_have_lost(past: Past) -> None:
    explanation = unchanged(past.then(photo(1, size=90)))
    assert explanation.way == "look"
    assert len(explanation.candidates) == 5
    first = explanation.candidates[0]
    assert (first.identity_id, first.name) == ("anna", "Anna")
    assert first.margin == pytest.approx(first.cosine - 0.5, abs=1e-6)
    assert first.score == pytest.approx(first.cosine, abs=1e-6)
    lower = flip(explanation, "a cosine of Anna (anna) lower by")
    assert lower.outcome == "stranger"
    higher = flip(explanation, "a threshold higher by")
    assert (higher.setting, higher.outcome) == ("matching.threshold", "stranger")
    assert isinstance(higher.value, float)
    assert first.cosine < higher.value <= first.cosine + 1e-4
    second = explanation.candidates[1]
    other = flip(explanation, f"{second.identity_id} higher by")
    assert (other.outcome, other.identity_id) == ("matched", second.identity_id)


def test_a_stranger_names_the_missing_cosine_and_the_threshold_at_which_a_match_would_follow(past: Past) -> None:
    then = past.then(photo(77))
    explanation = unchanged(then)
    first = explanation.candidates[0]
    assert first.margin is not None
    assert first.margin < 0
    more = flip(explanation, "a cosine of")
    assert more.outcome in ("matched", "blacklisted")
    lower = flip(explanation, "a threshold lower by")
    assert lower.identity_id == first.identity_id
    assert isinstance(lower.value, float)
    decided = past.then(photo(77), Policy(threshold=lower.value))
    assert decided.decision.identity_id == first.identity_id
    assert past.then(photo(77), Policy(threshold=lower.value + 1e-4)).decision.outcome == "stranger"


def test_the_permission_that_a_stranger_lacked_is_named_and_decides(past: Past) -> None:
    past.put(PermissionRecord(permission_id="7", name="night"))
    past.put(DeviceRecord(**device("10.0.0.1"), permission_id="7"))
    past.enrol("carla", 3, info={"name": "Carla", "permission_ids": ["7"]})
    explanation = unchanged(past.then(photo(1)))
    assert explanation.outcome == "stranger"
    found = flip(explanation, "the permission night for Anna (anna)")
    assert (found.outcome, found.identity_id, found.name) == ("matched", "anna", "Anna")


def test_the_group_that_a_stranger_was_not_in_is_named_and_decides(past: Past) -> None:
    past.put(GroupRecord(group_id="g", name="gate"))
    past.enrol("carla", 3, group_names=("gate",))
    found = flip(unchanged(past.then(photo(1), group_name="gate")), "Anna (anna) in the group gate")
    assert (found.outcome, found.identity_id) == ("matched", "anna")


def test_somebody_who_lacks_both_group_and_permission_is_no_single_change(past: Past) -> None:
    past.put(GroupRecord(group_id="g", name="gate"))
    past.put(PermissionRecord(permission_id="7", name="night"))
    past.put(DeviceRecord(**device("10.0.0.1", group_id="g"), permission_id="7"))
    past.enrol("carla", 3, group_names=("gate",), info={"permission_ids": ["7"]})
    assert not [each for each in unchanged(past.then(photo(1))).flips if "anna" in each.change]


def test_an_empty_group_names_who_would_be_recognised_in_it(past: Past) -> None:
    past.put(GroupRecord(group_id="g", name="gate"))
    explanation = unchanged(past.then(photo(1), group_name="gate"))
    assert explanation.outcome == "empty_group"
    assert [c.passed for c in explanation.checks if c.name == "people"] == [False]
    assert flip(explanation, "Anna (anna) in the group gate").outcome == "matched"


def test_an_empty_gallery_has_no_single_change() -> None:
    explanation = unchanged(Past().then(photo(1)))
    assert (explanation.outcome, explanation.flips) == ("empty_group", ())
    assert explanation.no_flip is not None


def test_somebody_on_the_blacklist_would_pass_without_being_on_it(past: Past) -> None:
    explanation = unchanged(past.then(photo(2)))
    assert explanation.outcome == "blacklisted"
    assert flip(explanation, "Ben (ben) not on the blacklist").outcome == "matched"
    assert flip(explanation, "matching.blacklist_opens").outcome == "matched"
    assert [c.passed for c in explanation.checks if c.name == "type"] == [False]


def test_somebody_who_was_not_valid_would_pass_within_the_validity(past: Past) -> None:
    past.enrol("carla", 3, info={"name": "Carla", "valid_until": RECEIVED_S - 10})
    explanation = unchanged(past.then(photo(3)))
    assert explanation.outcome == "not_valid"
    within = flip(explanation, "an arrival not after Monday 2025-11-24 11:59:50 (UTC)")
    assert (within.outcome, within.value) == ("matched", RECEIVED_S - 10)
    assert flip(explanation, "Carla (carla) valid at all times").outcome == "matched"


def test_somebody_outside_the_pass_times_would_pass_at_the_nearest_minute_within(past: Past) -> None:
    past.put(PermissionRecord(permission_id="7", name="night", info={"pass_times": NIGHT}))
    past.put(DeviceRecord(**device("10.0.0.1"), permission_id="7"))
    past.enrol("carla", 3, info={"name": "Carla", "permission_ids": ["7"]})
    explanation = unchanged(past.then(photo(3)))
    assert explanation.outcome == "not_in_pass_time"
    within = flip(explanation, "an arrival within the pass times of the permission night")
    assert within.outcome == "matched"
    assert "Monday 2025-11-24 22:00:00 (UTC)" in within.change
    assert flip(explanation, "no pass times of the permission night").outcome == "matched"


def test_a_spoof_names_the_failed_check_its_limit_and_liveness_off(past: Past) -> None:
    explanation = unchanged(past.then(photo(1, live=False), liveness_mode="liveness_rgb"))
    assert explanation.outcome == "spoof"
    assert {c.name for c in explanation.checks if c.stage == "liveness" and not c.passed} == {"rgb_live", "live"}
    off = flip(explanation, "liveness off (liveness_rgb was asked for by the request)")
    assert (off.outcome, off.identity_id, off.value) == ("matched", "anna", "liveness_off")
    limit = flip(explanation, "rgb_live with the limit 0 instead of 0.5")
    assert (limit.setting, limit.outcome) == ("matching.liveness_threshold", "matched")


def test_a_stricter_device_is_named_as_who_asks_for_liveness(past: Past) -> None:
    past.put(DeviceRecord(**device("10.0.0.1"), permission_id="0", liveness_floor="liveness_rgb"))
    explanation = unchanged(past.then(photo(1, live=False)))
    assert flip(explanation, "asked for by the device").outcome == "matched"


def test_a_failed_check_among_several_is_no_single_change(past: Past) -> None:
    policy = Policy(liveness_limits=structs.replace(Policy().liveness_limits, rgb_moire=0.0))
    explanation = unchanged(past.then(photo(1, live=False), policy, liveness_mode="liveness_rgb"))
    assert [each.change for each in explanation.flips if "rgb_live with" in each.change] == []
    assert flip(explanation, "liveness off").outcome == "matched"


def test_low_quality_names_the_pixels_that_are_missing_and_the_weaker_level(past: Past) -> None:
    explanation = unchanged(past.then(photo(1, size=72), Policy(match_quality="middle")))
    assert explanation.outcome == "low_quality"
    (size,) = [c for c in explanation.checks if c.name == "face_size"]
    assert (size.passed, size.limit) == (False, 80)
    assert isinstance(size.value, float)
    more = flip(explanation, f"another {int(80 - size.value) + 1} px of face")
    assert (more.outcome, more.setting) == ("matched", None)
    level = flip(explanation, "the quality level low (middle was asked for by the setting matching.match_quality)")
    assert (level.outcome, level.setting, level.value) == ("matched", "matching.match_quality", "low")


def test_the_device_is_named_where_it_asks_for_the_quality(past: Past) -> None:
    past.put(DeviceRecord(**device("10.0.0.1"), permission_id="0", quality_level="middle"))
    explanation = unchanged(past.then(photo(1, size=72), Policy(match_quality="low")))
    assert explanation.outcome == "low_quality"
    assert flip(explanation, "px of face").outcome == "matched"
    assert flip(explanation, "the quality level low (middle was asked for by the device)").outcome == "matched"


def test_a_custom_limit_is_named_as_the_setting_that_would_change(past: Past) -> None:
    custom = QualityLimits(face_size_px=None, headpose_degrees=20.0)
    policy = Policy(match_quality="custom", custom_quality=custom)
    explanation = unchanged(past.then(photo(1, yaw=40), policy))
    assert explanation.outcome == "low_quality"
    assert flip(explanation, "headpose lower by").setting == "matching.custom_quality.headpose_degrees"


def test_a_face_below_the_least_size_names_the_missing_pixels(past: Past) -> None:
    explanation = unchanged(past.then(photo(1, size=100), min_face_size=120))
    assert explanation.outcome == "no_face"
    found = flip(explanation, "px of face, or a min_face_size of at most")
    assert (found.outcome, found.setting) == ("matched", "min_face_size")
    assert past.then(photo(1, size=100), min_face_size=int(found.value or 0)).decision.outcome == "matched"
    assert past.then(photo(1, size=100), min_face_size=int(found.value or 0) + 2).decision.outcome == "no_face"


def test_a_picture_without_faces_has_no_single_change(past: Past) -> None:
    explanation = unchanged(past.then(scene()))
    assert (explanation.outcome, explanation.flips) == ("no_face", ())
    assert "another picture" in (explanation.no_flip or "")


def test_a_damaged_picture_has_no_single_change(past: Past) -> None:
    explanation = unchanged(past.then(b"no picture"))
    assert (explanation.outcome, explanation.flips) == ("image_error", ())


def test_a_picture_with_too_many_pixels_names_the_limit_that_would_let_it_in(past: Past) -> None:
    explanation = unchanged(past.then(photo(1), max_pixels=640 * 480 - 1))
    assert explanation.outcome == "image_error"
    found = flip(explanation, "the setting pictures.max_pixels at 307200")
    assert (found.outcome, found.value) == ("matched", 307200)


def test_a_request_that_expired_says_what_an_answer_in_time_would_have_been(past: Past) -> None:
    then = replace(past.then(photo(1), refusal=EXPIRED), deadline_s=DECIDED_S - 0.1)
    explanation = explain_match(then)
    assert (explanation.outcome, explanation.alarms) == ("expired", ())
    found = flip(explanation, "an answer 101 ms earlier, within the deadline")
    assert (found.outcome, found.identity_id) == ("matched", "anna")
    assert [c.passed for c in explanation.checks if c.name == "deadline"] == [False]


@pytest.mark.parametrize("code", [Code.OVERLOADED, Code.INTERNAL_ERROR])
def test_a_request_that_the_server_could_not_decide_is_decided_now(past: Past, code: Code) -> None:
    explanation = explain_match(past.then(photo(1), refusal=Refusal(code, "something went wrong here")))
    assert (explanation.outcome, explanation.alarms) == ("error", ())
    assert flip(explanation, "a server that can work").outcome == "matched"


def test_an_unknown_group_names_the_group_and_the_request_without_it(past: Past) -> None:
    explanation = unchanged(past.then(photo(1), group_name="nowhere"))
    assert explanation.outcome == "error"
    assert explanation.checks[-1].sentence == "no group with this group_name exists"
    assert flip(explanation, "a group nowhere").outcome == "empty_group"
    assert flip(explanation, "a request without group_name").outcome == "matched"


def test_an_unknown_device_names_the_setting_that_would_accept_it(past: Past) -> None:
    explanation = unchanged(past.then(photo(1), Policy(unknown_device="reject")))
    assert explanation.outcome == "error"
    found = flip(explanation, "matching.unknown_device at accept")
    assert (found.outcome, found.value) == ("matched", "accept")
    assert flip(explanation, "the device 10.0.0.1 registered").outcome == "matched"


def test_a_request_that_must_not_name_its_scope_names_the_setting(past: Past) -> None:
    explanation = unchanged(past.then(photo(1), Policy(device_names_scope=False), group_name="default_group"))
    assert flip(explanation, "matching.device_names_scope").outcome == "matched"


def test_a_device_whose_group_was_deleted_would_match_in_another(past: Past) -> None:
    past.put(DeviceRecord(**device("10.0.0.1", group_id="deleted"), permission_id="0"))
    explanation = unchanged(past.then(photo(1)))
    assert explanation.outcome == "empty_group"
    assert flip(explanation, "with the group and the permission that always exist").outcome == "matched"


def test_an_accepted_score_is_named_where_it_moves_the_threshold(past: Past) -> None:
    then = past.then(photo(77), Policy(accepted_score=90.0, score_scale="percent"))
    found = flip(unchanged(then), "the setting matching.accepted_score at")
    assert isinstance(found.value, float)
    policy = Policy(accepted_score=found.value, score_scale="percent")
    assert past.then(photo(77), policy).decision.outcome == found.outcome


def test_what_was_seen_names_the_face_that_was_used(past: Past) -> None:
    explanation = explain_match(past.then(scene(draw_face(9, 80), draw_face(1, 200))))
    assert explanation.seen is not None
    assert explanation.seen.used.startswith("the chosen one of 2 faces was used: 200 x 200 px")
    assert explanation.seen.picture is not None
    assert (explanation.seen.picture.width, explanation.seen.picture.height) == (640, 480)


def test_a_change_of_people_within_half_precision_is_claimed_only_from_the_picture(past: Past) -> None:
    past.put(PermissionRecord(permission_id="7", name="night"))
    past.enrol("carla", 3, info={"name": "Carla", "permission_ids": ["7"]})
    looked = past.then(photo(1, size=90))
    half = np.frombuffer(looked.decision.embedding or b"", "<f2").astype(np.float32)
    (nearest, *_) = past.people.snapshot().gallery.best(half, Scope(), 1)
    assert nearest.person.identity_id == "anna"
    past.put(DeviceRecord(**device("10.0.0.1"), permission_id="7"))
    for threshold, claimed in ((nearest.cosine - 1e-5, False), (nearest.cosine - 1e-2, True)):
        then = past.then(photo(1, size=90), Policy(threshold=threshold))
        assert then.decision.outcome == "stranger"
        if claimed:
            assert flip(explain_match(then), "the permission night for Anna (anna)").outcome == "matched"
        explanation = explain_match(without_picture(then))
        assert explanation.way == "decide"
        assert bool([each for each in explanation.flips if "Anna (anna)" in each.change]) is claimed


def test_an_inferred_request_has_no_least_size_that_could_be_checked(past: Past) -> None:
    then = past.then(photo(1, size=100), min_face_size=120)
    assert "min_face_size" in {check.name for check in explain_match(then).checks}
    gone = without_picture(past.then(photo(1), min_face_size=20))
    explanation = explain_match(replace(gone, request=structs.replace(gone.request, min_face_size=0)))
    assert "min_face_size" not in {check.name for check in explanation.checks}
    assert "the min_face_size of the request, which no record has" in explanation.sentences[2]


def test_an_answer_behind_the_deadline_was_committed_nevertheless(past: Past) -> None:
    late = explain_match(replace(past.then(photo(1)), deadline_s=DECIDED_S - 0.3))
    (deadline,) = [check for check in late.checks if check.stage == "deadline"]
    assert deadline.passed
    assert deadline.sentence == (
        "the decision came 300 ms after the deadline of the request, and the answer was committed nevertheless"
    )
    (in_time,) = [check for check in explain_match(past.then(photo(1))).checks if check.stage == "deadline"]
    assert "committed" not in in_time.sentence


def test_the_device_is_that_of_the_event_where_the_request_is_gone(past: Past) -> None:
    then = replace(past.then(photo(1)), request=None, people=None)
    assert explain_match(then).device_ip == "10.0.0.1"


@pytest.mark.parametrize(("seed", "size", "accepted"), [(77, 160, 60.0), (77, 160, 82.5), (1, 90, 82.5), (1, 90, 90.0)])
def test_the_threshold_that_is_proposed_beside_an_accepted_score_is_that_of_the_middle_score(
    past: Past, seed: int, size: int, accepted: float
) -> None:
    policy = Policy(accepted_score=accepted)
    explanation = unchanged(past.then(photo(seed, size=size), policy))
    (found,) = [each for each in explanation.flips if each.setting == "matching.threshold"]
    assert isinstance(found.value, float)
    assert f"the setting matching.threshold at {found.value:g}" in found.change
    decided = past.then(photo(seed, size=size), structs.replace(policy, threshold=found.value))
    assert decided.decision.outcome == found.outcome
    step = -2e-4 if found.outcome == "stranger" else 2e-4
    less = past.then(photo(seed, size=size), structs.replace(policy, threshold=found.value + step))
    assert less.decision.outcome == explanation.outcome, "the smallest change"


@pytest.mark.parametrize(
    ("seed", "accepted"), [(85, 75.0), (87, 60.0), (87, 75.0), (95, 60.0), (95, 75.0), (108, 75.0)]
)
def test_the_numbers_in_the_sentence_about_the_threshold_lead_to_the_other_outcome(
    past: Past, seed: int, accepted: float
) -> None:
    """With four digits the threshold of the sentence would not be low enough."""
    policy = Policy(accepted_score=accepted)
    then = past.then(photo(seed), policy)
    found = flip(explain_match(then), "a threshold lower by")
    numbers = re.fullmatch(r"a threshold lower by (\S+) \(the setting matching.threshold at (\S+)\)", found.change)
    assert numbers is not None
    lower, setting = float(numbers[1]), float(numbers[2])
    assert setting == found.value
    decided = past.then(photo(seed), structs.replace(policy, threshold=setting)).decision
    assert (decided.outcome, decided.identity_id) == (found.outcome, found.identity_id)
    applied = then.decision.applied
    assert applied is not None
    assert applied.cosine is not None
    assert then.decision.candidates[0].cosine >= applied.cosine - lower


def device(address: str, **fields: Any) -> dict[str, Any]:
    known = {"device_id": "d1", "name": "gate", "address": address, "device_type": "photo", "group_id": "default_group"}
    return known | fields
