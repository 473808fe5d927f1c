"""Group: create, change or delete a group of people (POST, PUT and DELETE of groups)."""

from contract.answers import GroupAnswer
from contract.errors import Code, Refused
from contract.ids import made_id
from contract.kinds import kind_of
from contract.people.keys import SiteKey
from contract.people.listing import ListedPerson
from contract.people.site import GroupRecord
from contract.site_requests import GroupRequest
from contract.terms import DEFAULT_GROUP
from engine.calls.people import ChangeDecision, PeopleNow
from engine.calls.scopes import ScopeCall, deleted, described, require_room_for, stored, with_this_only
from engine.policy import Policy


class GroupCall(ScopeCall[GroupRequest]):
    """The kind of call that creates, changes or deletes a group."""

    kind = kind_of(GroupRequest)
    request_type = GroupRequest

    def changed(self, request: GroupRequest, people: PeopleNow, policy: Policy) -> ChangeDecision:
        """Create, change or delete a group.

        Raises:
            Refused: the group to be created exists, the group to be changed or deleted does not exist, the default
                group was to be deleted, or a limit is reached.
        """
        group = people.site.group_named(request.name)
        if request.action == "create":
            if group is not None:
                raise Refused(Code.GROUP_NAME_ERROR, "a group with this group_name exists already")
            require_room_for(1, len(people.site.groups), policy.max_groups, "groups")
            return _stored(
                "created", GroupRecord(group_id=made_id(request.request_id), name=request.name), request, people
            )
        if group is None:
            raise Refused(Code.NOT_FOUND, "no group with this group_name exists")
        if request.action == "change":
            return _stored("changed", group, request, people)
        return _deleted(group, request, people, policy)

    def name_of(self, request: GroupRequest) -> str:
        """Return the name of the group."""
        return request.name


def _stored(outcome: str, group: GroupRecord, request: GroupRequest, people: PeopleNow) -> ChangeDecision:
    after = described(group, request.description, request.info)
    return stored(outcome, after, people, _answer(after))


def _deleted(group: GroupRecord, request: GroupRequest, people: PeopleNow, policy: Policy) -> ChangeDecision:
    if group.group_id == DEFAULT_GROUP:
        raise Refused(Code.GROUP_NAME_ERROR, "this group always exists and cannot be deleted")
    gone = (
        with_this_only(people, _groups_of, group.group_id, people.site.groups, policy.max_recursive_delete)
        if request.recursive
        else ()
    )
    return deleted(SiteKey("group", group.group_id), gone, people, _answer(group, len(gone)))


def _groups_of(person: ListedPerson) -> tuple[str, ...]:
    return person.group_ids


def _answer(group: GroupRecord, people_deleted: int = 0) -> GroupAnswer:
    return GroupAnswer(
        group_id=group.group_id,
        name=group.name,
        description=group.description,
        info=group.info,
        people_deleted=people_deleted,
    )
