"""Whether a decision of then is made again from its embedding or from its pictures, where the look has changed."""

from msgspec import structs

from capture.replaying.plan import Case, Look, Search, plan, what_plan_reads
from capture.replaying.policies import PolicyPair
from contract.captures.convert import request_without_pictures
from contract.captures.values import CaptureLine
from engine.policy import Policy
from engine.vision.decode.jpeg import encode_jpeg
from engine.vision.networks.standin import draw_face, draw_scene
from tests.support.faces import photo
from tests.support.recorded_site import RecordedSite

CHOSEN, LARGEST = Policy(), Policy(face="largest")
TWO = encode_jpeg(draw_scene(640, 480, [(draw_face(1, 100), 240, 160), (draw_face(77, 104), 0, 0)]), quality=95)


def case_of(site: RecordedSite, line: CaptureLine, before: Policy, now: Policy) -> Case:
    assert line.decision is not None
    people, request = site.people.snapshot(), request_without_pictures(line)
    pair = PolicyPair(before, now, "", recorded=True)
    return Case(1, line, line.decision, request, line.decision.embedding, people, people, pair, people.version)


def site() -> RecordedSite:
    site = RecordedSite()
    site.enrol("a", 1)
    return site


def test_another_rule_that_chooses_a_face_makes_no_difference_in_one_picture_of_one_face() -> None:
    recorded = site()
    recorded.match(photo(1))
    recorded.match(TWO)
    one, two = (case_of(recorded, line, CHOSEN, LARGEST) for line in recorded.lines)
    assert isinstance(plan(one), Search)
    assert isinstance(plan(two), Look)


def test_of_several_pictures_the_number_of_faces_of_the_best_one_says_nothing_about_the_others() -> None:
    recorded = site()
    recorded.match(photo(1), further_pictures=(TWO,))
    recorded.policy = LARGEST
    recorded.match(photo(1), further_pictures=(TWO,))
    chosen, largest = (line.decision for line in recorded.lines)
    assert chosen is not None
    assert largest is not None
    assert (chosen.faces, largest.faces) == (1, 1)
    assert [picture.left_out for picture in chosen.pictures] != [picture.left_out for picture in largest.pictures]
    assert isinstance(plan(case_of(recorded, recorded.lines[0], CHOSEN, LARGEST)), Look)


def test_of_several_pictures_no_rival_is_searched_for_whatever_was_asked_for() -> None:
    recorded = site()
    recorded.match(TWO, further_pictures=(photo(1),))
    (line,) = recorded.lines
    assert isinstance(plan(case_of(recorded, line, CHOSEN, structs.replace(CHOSEN, target_fpir=0.02))), Search)


def test_plans_of_one_picture_and_of_several_are_not_the_same() -> None:
    recorded = site()
    recorded.match(photo(1))
    recorded.match(photo(1), further_pictures=(TWO,))
    one, several = (case_of(recorded, line, CHOSEN, LARGEST) for line in recorded.lines)
    assert what_plan_reads(one) != what_plan_reads(several)
