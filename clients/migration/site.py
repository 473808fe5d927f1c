"""Takes the groups and the permissions of a box: creates here what is missing, and learns the ids of both ends."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from clients.migration.answers import Named
from clients.migration.box import Box, Here
from clients.migration.plan import Scopes
from clients.migration.report import LeftOut
from clients.migration.state import State
from contract.errors import Code
from contract.http import GROUPS_PATH, PERMISSIONS_PATH
from contract.terms import DEFAULT_GROUP

_GROUPS_PER_PAGE = 100


class SiteMigration:
    """The groups and permissions of a migration. `scopes` grows while it takes them."""

    def __init__(self, box: Box, here: Here, state: State) -> None:
        self._box, self._here = box, here
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
        ids = [group.box_id] if group.box_id else await self._box.group_ids(group.name)
        self.scopes.group_names.update((one, group.name) for one in ids)
        body = {"group_name": group.name, "description": group.description}
        if await self._create("group", group.name, GROUPS_PATH, body, exists=group.name in self.scopes.groups):
            here = self.scopes.groups.get(group.name) or next(iter(await self._here.group_ids(group.name)), "")
            self.scopes.groups[group.name] = here

    async def _take_permission(self, permission: Named) -> None:
        """Create a permission unless it exists here, and learn its ids at the box and here."""
        name = permission.name
        ids = await self._box.permission_ids(name)
        if len(ids) > 1:
            reason = f"the box has {len(ids)} permissions of this name, which are one permission here"
            self._report.leave_out(LeftOut("permission", name, reason))
        self.scopes.permission_names.update((one, name) for one in ids)
        body = {"permission_name": name, "description": permission.description}
        if await self._create("permission", name, PERMISSIONS_PATH, body, exists=name in self._permissions_here):
            found = await self._here.permission_ids(name)
            if found:
                self.scopes.permissions[name] = found[0]

    async def _create(
        self, kind: Literal["group", "permission"], name: str, path: str, body: Mapping[str, Any], *, exists: bool
    ) -> bool:
        """Create a group or permission unless it exists; return whether it exists now."""
        if exists:
            self._report.add(kind, "taken" if (kind, name) in self._state.made else "there already")
            return True
        answer, doubtful = await self._here.ask("POST", path, body)
        if answer.http_status == 200 or (doubtful and answer.code == Code.GROUP_NAME_ERROR):
            self._report.add(kind, "taken")
            self._state.note_made(kind, name)
            return True
        self._report.leave_out(LeftOut(kind, name, answer.error_text))
        return False
