"""Members: put people into a group, or take them from it (PUT and DELETE of GroupUsers)."""

from dataclasses import replace

from msgspec import structs

from contract.answers import MembersAnswer
from contract.codec import encode
from contract.errors import Code, Refused
from contract.kinds import kind_of
from contract.people.keys import person_key
from contract.people.records import PersonRecord
from contract.people.site import GroupRecord, Site
from contract.site_requests import MembersRequest
from engine.calls.people import ChangeDecision, PeopleNow
from engine.calls.scopes import ScopeCall
from engine.policy import Policy


class MembersCall(ScopeCall[MembersRequest]):
    """The kind of call that changes the members of a group."""

    kind = kind_of(MembersRequest)
    outcomes = ("changed", "refused", "expired")
    request_type = MembersRequest

    def changed(self, request: MembersRequest, people: PeopleNow, policy: Policy) -> ChangeDecision:
        """Add people to a group, or remove them; unknown people are skipped, and so is who needs no change.

        Raises:
            Refused: the group or everybody is unknown, or the group would have too many people.
        """
        group, add = people.site.group_named(request.group_name), request.action == "add"
        if group is None:
            raise Refused(Code.NOT_FOUND, "no group with this group_name exists")
        known = {identity_id: people.known(identity_id) for identity_id in request.identity_ids}
        failed = tuple(identity_id for identity_id, one in known.items() if one.record is None)
        if len(failed) == len(known):
            raise Refused(Code.ID_NOT_FOUND, "nobody is enrolled under any identity_id of the request")
        after = {
            identity_id: replace(one, record=_moved(one.record, group, people.site, add=add))
            for identity_id, one in known.items()
            if one.record is not None and (group.group_id in one.record.group_ids) is not add
        }
        if add and after and people.members(group.group_id) + len(after) > policy.max_people:
            raise Refused(Code.GROUP_LEN_ERROR, "the group is full; remove people or raise the limit in the settings")
        return ChangeDecision(
            "changed",
            MembersAnswer(group_id=group.group_id, group_name=group.name, failed=failed),
            after,
            others=tuple(
                (person_key(identity_id), encode(one.record)) for identity_id, one in after.items() if one.record
            ),
        )

    def name_of(self, request: MembersRequest) -> str:
        """Return the name of the group."""
        return request.group_name


def _moved(person: PersonRecord, group: GroupRecord, site: Site, *, add: bool) -> PersonRecord:
    """Return a person who is in the group or not; ids of deleted groups are dropped, since no new group has them."""
    others = tuple(i for i in person.group_ids if i in site.groups and i != group.group_id)
    return structs.replace(person, group_ids=(*others, group.group_id) if add else others)
