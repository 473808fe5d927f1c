"""Takes the groups and the permissions of a box: creates here what is missing, and learns the ids of both ends."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from clients.answers import ServerAnswer
from clients.migration.answers import Identified, Named
from clients.migration.box import Box, Here
from clients.migration.plan import SCOPE_DIFFERS, Scopes, differing_info
from clients.migration.report import LeftOut, Outcome
from clients.migration.state import State
from contract.errors import Code
from contract.http import GROUPS_PATH, PERMISSIONS_PATH
from contract.terms import DEFAULT_GROUP

ScopeKind = Literal["group", "permission"]

_GROUPS_PER_PAGE = 100
_NEEDED_INFO = ("pass_times",)
"""The info without which a permission would open more than at the box: where it is refused, the permission is."""


class SiteMigration:
    """The groups and permissions of a migration. `scopes` grows while it takes them."""

    def __init__(self, box: Box, here: Here, state: State, *, update: bool) -> None:
        self._box, self._here, self._update = box, here, update
        self._state, self._report = state, state.report
        self.scopes = Scopes()
        self._permissions_here: set[str] = set()

    async def take(self) -> Sequence[str]:
        """Take the groups and the permissions, and return the names of the groups that exist here now."""
        groups, bad = await self._box.groups(_GROUPS_PER_PAGE)
        self._report.leave_out(*bad)
        if DEFAULT_GROUP not in {group.name for group in groups}:
            groups = [Named(DEFAULT_GROUP), *groups]
        here, _ = await self._here.groups(_GROUPS_PER_PAGE)
        self.scopes.groups.update((group.name, group.box_id or "") for group in here)
        for group in groups:
            await self._take_group(group)
        permissions, bad = await self._box.permissions()
        self._report.leave_out(*bad)
        self._permissions_here.update(permission.name for permission in (await self._here.permissions())[0])
        for permission in permissions:
            await self._take_permission(permission)
        return [group.name for group in groups if group.name in self.scopes.groups]

    async def learn_permissions(self, box_ids: Sequence[str]) -> None:
        """Take the permissions that people or devices have although the box's list lacks them."""
        for name in self.scopes.unknown_permissions(box_ids):
            if ("permission", name) not in self._report.left_out:
                await self._take_permission(Named(name))

    async def _take_group(self, group: Named) -> None:
        """Create a group unless it exists here, and learn its ids at the box and here."""
        name, found = group.name, await self._box.groups_named(group.name)
        ids = [group.box_id] if group.box_id else [one.box_id for one in found]
        self.scopes.group_names.update((one, name) for one in ids)
        if await self._has("group", group, found, exists=name in self.scopes.groups) and not self.scopes.groups.get(
            name
        ):
            made = await self._here.groups_named(name)
            self.scopes.groups[name] = made[0].box_id if made else ""

    async def _take_permission(self, permission: Named) -> None:
        """Create a permission unless it exists here, and learn its ids at the box and here."""
        name, found = permission.name, await self._box.permissions_named(permission.name)
        if len(found) > 1:
            reason = f"the box has {len(found)} permissions of this name, which are one permission here"
            self._report.leave_out(LeftOut("permission", name, reason))
        self.scopes.permission_names.update((one.box_id, name) for one in found)
        if await self._has("permission", permission, found, exists=name in self._permissions_here):
            made = await self._here.permissions_named(name)
            if made:
                self.scopes.permissions[name] = made[0].box_id

    async def _has(self, kind: ScopeKind, named: Named, at_the_box: Sequence[Identified], *, exists: bool) -> bool:
        """Create a group or permission with its info unless it exists; return whether it exists now."""
        info = at_the_box[0].info if at_the_box else {}
        if exists:
            self._report.add(kind, await self._matched(kind, named.name, info))
            return True
        answer, doubtful = await self._write("POST", kind, named.name, named.description, info)
        kept = {name: info[name] for name in _NEEDED_INFO if name in info}
        if answer.code == Code.FOG_PARAM_ERROR and kept != info:
            refused, (answer, doubtful) = answer, await self._write("POST", kind, named.name, named.description, kept)
            if answer.http_status == 200:
                lost = ", ".join(name for name in info if name not in kept)
                self._report.leave_out(LeftOut("info", f"{kind} {named.name}: {lost}", refused.error_text))
        if answer.http_status == 200 or (doubtful and answer.code == Code.GROUP_NAME_ERROR):
            self._report.add(kind, "taken")
            self._state.note_made(kind, named.name)
            return True
        self._report.leave_out(LeftOut(kind, named.name, answer.error_text))
        return False

    async def _matched(self, kind: ScopeKind, name: str, info: Mapping[str, Any]) -> Outcome:
        """Compare the info of a group or permission that exists here, and replace on demand what differs."""
        unchanged: Outcome = "taken" if (kind, name) in self._state.made else "there already"
        if not info:
            return unchanged
        found = await (self._here.groups_named(name) if kind == "group" else self._here.permissions_named(name))
        differing = differing_info(info, found[0].info if found else {})
        if not differing:
            return unchanged
        reason = SCOPE_DIFFERS
        if self._update:
            answer, _ = await self._write("PUT", kind, name, found[0].description if found else "", differing)
            if answer.http_status == 200:
                return "changed"
            reason = answer.error_text
        self._report.leave_out(LeftOut("info", f"{kind} {name}: {', '.join(differing)}", reason))
        return unchanged

    async def _write(
        self, method: str, kind: ScopeKind, name: str, description: str, info: Mapping[str, Any]
    ) -> tuple[ServerAnswer, bool]:
        body = {f"{kind}_name": name, "description": description, **({"info": info} if info else {})}
        return await self._here.ask(method, GROUPS_PATH if kind == "group" else PERMISSIONS_PATH, body)
