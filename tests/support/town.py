"""People, groups and permissions that tests change by decisions alone."""

from typing import Any

from contract.errors import Code, Refusal
from contract.requests import Request
from contract.site_requests import GroupRequest, MembersRequest, PermissionRequest
from engine.calls import Change, call_of
from engine.calls.people import NOTHING_PREPARED, ChangeDecision
from engine.gallery.pending import PendingPeople
from tests.support.faces import Enrolled, context


class Town(Enrolled):
    """People, groups and permissions, changed by decisions alone."""

    number = 0

    def decide(self, request: Request) -> ChangeDecision:
        call = call_of(request)
        assert isinstance(call, Change)
        decision: ChangeDecision = call.decide(
            request, NOTHING_PREPARED, PendingPeople(self.people), context(self.policy)
        )
        assert decision.outcome in call.outcomes
        assert (decision.refusal is None) is (decision.answer is not None)
        self.write(decision.people_records([(0, 0)] * len(decision.photos)))
        return decision

    def ask(self, kind: type[Any], **fields: Any) -> ChangeDecision:
        self.number += 1
        return self.decide(kind(request_id=f"r{self.number}", received_time_s=1.0, **fields))

    def group(self, action: str, name: str, **fields: Any) -> ChangeDecision:
        return self.ask(GroupRequest, action=action, name=name, **fields)

    def permission(self, action: str, name: str | None = None, **fields: Any) -> ChangeDecision:
        return self.ask(PermissionRequest, action=action, name=name, **fields)

    def members(self, action: str, group_name: str, *identity_ids: str) -> ChangeDecision:
        return self.ask(MembersRequest, action=action, group_name=group_name, identity_ids=identity_ids)

    def groups_of(self, identity_id: str) -> tuple[str, ...]:
        person = self.people.person(identity_id)
        assert person is not None
        return self.people.site.group_names(person.group_ids)


def refusal(decision: ChangeDecision) -> tuple[Code, str]:
    """The code and the message of a decision that refuses, and therefore changes nothing."""
    assert isinstance(decision.refusal, Refusal)
    assert not decision.changes
    assert not decision.photos
    return decision.refusal.code, decision.refusal.message
