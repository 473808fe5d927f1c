"""Who is put into a group and taken from it, and which records are written."""

import pytest

from contract.errors import Code
from contract.messages import MembersAnswer
from contract.terms import DEFAULT_GROUP
from engine.gallery.port import Scope
from engine.policy import Policy
from tests.support.town import Town, refusal


def test_people_are_put_into_a_group_and_taken_from_it() -> None:
    town = Town()
    town.group("create", "staff")
    town.enrol("ada", 1)
    town.enrol("bea", 2, group_names=("staff",))
    decision = town.members("add", "staff", "ada", "nobody", "bea")
    assert isinstance(decision.answer, MembersAnswer)
    assert (decision.outcome, decision.answer.group_name, decision.answer.failed) == ("changed", "staff", ("nobody",))
    assert [key for key, _ in decision.others] == [b"person/ada"], "bea was in the group already"
    assert town.groups_of("ada") == (DEFAULT_GROUP, "staff")
    group = town.people.site.group_named("staff")
    assert group is not None
    assert town.people.members(group.group_id) == 2
    town.members("remove", "staff", "ada", "bea")
    assert (town.groups_of("ada"), town.groups_of("bea")) == ((DEFAULT_GROUP,), ())
    assert len(town.people) == 2
    assert town.people.snapshot().gallery.count(Scope(group.group_id)) == 0


def test_who_needs_no_change_is_no_failure_and_no_record() -> None:
    town = Town()
    town.enrol("ada", 1)
    decision = town.members("add", DEFAULT_GROUP, "ada")
    assert (decision.outcome, decision.changes) == ("changed", False)
    assert decision.answer == MembersAnswer(group_id=DEFAULT_GROUP, group_name=DEFAULT_GROUP)


def test_faces_and_info_stay_where_somebody_is_moved() -> None:
    town = Town()
    town.group("create", "staff")
    town.enrol("ada", 1, info={"name": "Ada", "room": 7})
    before = town.people.known("ada")
    town.members("add", "staff", "ada")
    after = town.people.known("ada")
    assert before.record is not None
    assert after.record is not None
    assert (after.record.info, after.record.faces) == (before.record.info, before.record.faces)
    assert list(after.vectors) == [0]
    assert after.photos == before.photos


def test_ids_of_deleted_groups_are_dropped_from_who_is_moved() -> None:
    town = Town()
    town.group("create", "old")
    town.group("create", "new")
    town.enrol("ada", 1, group_names=("old",))
    town.group("delete", "old")
    town.members("add", "new", "ada")
    new, ada = town.people.site.group_named("new"), town.people.person("ada")
    assert new is not None
    assert ada is not None
    assert ada.group_ids == (new.group_id,)


@pytest.mark.parametrize("action", ["add", "remove"])
def test_an_unknown_group_or_only_unknown_people_are_refused(action: str) -> None:
    town = Town()
    town.enrol("ada", 1)
    assert refusal(town.members(action, "nowhere", "ada"))[0] is Code.NOT_FOUND
    assert refusal(town.members(action, DEFAULT_GROUP, "b", "c"))[0] is Code.ID_NOT_FOUND


def test_a_group_takes_no_more_people_than_allowed_and_then_nobody() -> None:
    town = Town(policy=Policy(max_people=3))
    town.group("create", "staff")
    for number, name in enumerate(("ada", "bea", "cleo")):
        town.enrol(name, number)
    town.policy = Policy(max_people=2)
    assert refusal(town.members("add", "staff", "ada", "bea", "cleo"))[0] is Code.GROUP_LEN_ERROR
    assert town.groups_of("ada") == (DEFAULT_GROUP,)
    assert town.members("add", "staff", "ada", "bea").changes
    assert refusal(town.members("add", "staff", "cleo"))[0] is Code.GROUP_LEN_ERROR
    assert town.members("add", "staff", "ada").refusal is None
