"""Groups, permissions and members against a model of ten lines, whatever administrators send at the same time.

The requests of several administrators are decided one after the other in one transaction, before any of it is in the
fold; a transaction is then written, or lost and decided again from the start. After every step the people, groups and
permissions must be those of the model, which knows one order of the calls and no transactions.
"""

from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from contract.errors import Code
from contract.requests import DeleteRequest, EnrolRequest, Request
from contract.site_requests import GroupRequest, MembersRequest, PermissionRequest
from contract.terms import DEFAULT_GROUP, DEFAULT_PERMISSION
from engine.calls import Change, call_of
from engine.calls.people import NOTHING_PREPARED, ChangeDecision, Prepared, PreparedFace
from engine.gallery.pending import PendingPeople
from engine.policy import Policy
from tests.support.faces import MODELS, Enrolled, context

GROUPS = (DEFAULT_GROUP, "staff", "guests", "night")
PERMISSIONS = (DEFAULT_PERMISSION, "p1", "p2", "p3")
PEOPLE = ("ada", "bea", "cleo", "dan")
POLICY = Policy(max_groups=3, max_permissions=3, max_recursive_delete=2)

groups, permissions, people = st.sampled_from(GROUPS), st.sampled_from(PERMISSIONS), st.sampled_from(PEOPLE)
some_people = st.lists(people, min_size=1, unique=True)


@dataclass
class Model:
    """Sets of names; the people as person -> (groups, permissions)."""

    groups: set[str] = field(default_factory=lambda: {DEFAULT_GROUP})
    permissions: set[str] = field(default_factory=lambda: {DEFAULT_PERMISSION})
    people: dict[str, tuple[set[str], set[str]]] = field(default_factory=dict)

    def only(self, which: int, name: str) -> list[str]:
        return [who for who, sets in self.people.items() if sets[which] == {name}]

    def delete(self, which: int, name: str, *, recursive: bool) -> None:
        for who in self.only(which, name) if recursive else ():
            del self.people[who]
        for sets in self.people.values():
            sets[which].discard(name)
        (self.groups, self.permissions)[which].discard(name)


class Administrators(RuleBasedStateMachine):
    """See the module."""

    def __init__(self) -> None:
        super().__init__()
        self.log = Enrolled(policy=POLICY)
        self.photos: dict[bytes, bytes | None] = {}
        self.model, self.numbers = Model(), 0
        self.begin()

    def begin(self) -> None:
        self.pending, self.before = PendingPeople(self.log.people), deepcopy(self.model)
        self.decisions: list[ChangeDecision] = []

    def decide(self, kind: type[Request], prepared: Prepared = NOTHING_PREPARED, **fields: Any) -> Code | None:
        self.numbers += 1
        request = kind(request_id=f"r{self.numbers}", received_time_s=1.0, **fields)
        call = call_of(request)
        assert isinstance(call, Change)
        decision: ChangeDecision = call.decide(request, prepared, self.pending, context(POLICY))
        assert decision.outcome in call.outcomes
        if decision.changes:
            self.pending.decided(decision.people, decision.site)
            self.decisions.append(decision)
        return None if decision.refusal is None else decision.refusal.code

    @initialize(data=st.data(), members=st.lists(st.lists(groups, min_size=1, unique=True), min_size=4, max_size=4))
    def people_in_a_town(self, data: st.DataObject, members: list[list[str]]) -> None:
        """Most of what can go wrong needs people in several groups, which single rules reach too seldom."""
        for name in GROUPS[1:3]:
            self.create_group(name)
        for name in PERMISSIONS[1:3]:
            self.create_permission(name)
        for who, in_groups in zip(PEOPLE, members, strict=True):
            self.enrol(who, in_groups, data, create=False)

    @rule(who=people, in_groups=st.lists(groups, min_size=1, unique=True), data=st.data(), create=st.booleans())
    def enrol(self, who: str, in_groups: list[str], data: st.DataObject, create: bool) -> None:
        among = PERMISSIONS if create else sorted(self.model.permissions)
        ids = data.draw(st.lists(st.sampled_from(among), min_size=1, unique=True))
        vector = np.random.default_rng(self.numbers).normal(size=MODELS.embedder.dimension).astype(np.float32)
        code = self.decide(
            EnrolRequest,
            Prepared(PreparedFace.of(vector / np.linalg.norm(vector), b"jpeg", b"jpeg")),
            identity_id=who,
            group_names=tuple(in_groups),
            info={"permission_ids": ids},
            create_no_exit_permission=create,
        )
        new = set(ids) - self.model.permissions
        if not set(in_groups) <= self.model.groups:
            assert code is Code.NOT_FOUND
        elif who in self.model.people:
            assert code is Code.IDENTITY_EXSIT_ERROR
        elif new and len(self.model.permissions | new) > POLICY.max_permissions:
            assert code is Code.GROUP_LEN_ERROR
        elif code is None:
            self.model.permissions |= new
            self.model.people[who] = (set(in_groups), set(ids))
        else:
            assert code is Code.GROUP_NAME_ERROR
            assert self.somebody_names(new)

    @rule(who=people)
    def delete_person(self, who: str) -> None:
        code = self.decide(DeleteRequest, identity_id=who)
        assert code is (None if who in self.model.people else Code.ID_NOT_FOUND)
        self.model.people.pop(who, None)

    @rule(name=groups)
    def create_group(self, name: str) -> None:
        code = self.decide(GroupRequest, action="create", name=name)
        if name in self.model.groups:
            assert code is Code.GROUP_NAME_ERROR
        elif len(self.model.groups) == POLICY.max_groups:
            assert code is Code.GROUP_LEN_ERROR
        else:
            assert code is None
            self.model.groups.add(name)

    @rule(name=permissions)
    def create_permission(self, name: str) -> None:
        code = self.decide(PermissionRequest, action="create", name=name, permission_id=name)
        if name in self.model.permissions:
            assert code is Code.GROUP_NAME_ERROR
        elif len(self.model.permissions) == POLICY.max_permissions:
            assert code is Code.GROUP_LEN_ERROR
        elif code is None:
            self.model.permissions.add(name)
        else:
            assert code is Code.GROUP_NAME_ERROR
            assert self.somebody_names({name})

    def somebody_names(self, permission_ids: set[str]) -> bool:
        return any(permission_ids & set(person.permission_ids) for person in self.pending.everybody())

    @rule(name=groups, recursive=st.booleans())
    def delete_group(self, name: str, recursive: bool) -> None:
        code = self.decide(GroupRequest, action="delete", name=name, recursive=recursive)
        self.check_deletion(code, 0, name, recursive=recursive)

    @rule(name=permissions, recursive=st.booleans())
    def delete_permission(self, name: str, recursive: bool) -> None:
        code = self.decide(PermissionRequest, action="delete", permission_id=name, recursive=recursive)
        self.check_deletion(code, 1, name, recursive=recursive)

    def check_deletion(self, code: Code | None, which: int, name: str, *, recursive: bool) -> None:
        if name in (DEFAULT_GROUP, DEFAULT_PERMISSION):
            assert code is Code.GROUP_NAME_ERROR
        elif name not in (self.model.groups, self.model.permissions)[which]:
            assert code is (Code.NOT_FOUND, Code.ID_NOT_FOUND)[which]
        elif recursive and len(self.model.only(which, name)) > POLICY.max_recursive_delete:
            assert code is Code.GROUP_LEN_ERROR
        else:
            assert code is None
            self.model.delete(which, name, recursive=recursive)

    @rule(name=groups, who=some_people, add=st.booleans())
    def change_members(self, name: str, who: list[str], add: bool) -> None:
        action = "add" if add else "remove"
        code = self.decide(MembersRequest, action=action, group_name=name, identity_ids=tuple(who))
        known = [each for each in who if each in self.model.people]
        if name not in self.model.groups:
            assert code is Code.NOT_FOUND
        elif not known:
            assert code is Code.ID_NOT_FOUND
        else:
            assert code is None
            for each in known:
                (self.model.people[each][0].add if add else self.model.people[each][0].discard)(name)

    @precondition(lambda self: self.decisions)
    @rule()
    def write(self) -> None:
        for decision in self.decisions:
            self.photos |= dict(decision.photos)
            self.log.write(decision.people_records([(0, 0)] * len(decision.photos)))
        self.begin()
        faces = {f"photo/{p.identity_id}/{n}".encode() for p in self.log.people.everybody() for n in p.faces}
        assert {key for key, photo in self.photos.items() if photo is not None} == faces
        assert self.log.people.faces_count == len(faces)

    @precondition(lambda self: self.decisions)
    @rule()
    def lose(self) -> None:
        self.model = self.before
        self.begin()

    @invariant()
    def is_as_the_model_has_it(self) -> None:
        site = self.pending.site
        assert {group.name for group in site.groups.values()} == self.model.groups
        assert set(site.permissions) == self.model.permissions
        for group in site.groups.values():
            assert self.pending.members(group.group_id) == sum(group.name in g for g, _ in self.model.people.values())
        found = {
            person.identity_id: (
                set(site.group_names(person.group_ids)),
                {i for i in person.permission_ids if i in site.permissions},
            )
            for person in self.pending.everybody()
        }
        assert found == self.model.people


Administrators.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestAdministrators = Administrators.TestCase
