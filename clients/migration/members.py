"""Compares the members of the groups here with those of the box, once the box's groups are read.

Enrolling only adds people to groups, and boxes of some versions list a person with one group at a time; so only after
all groups are read it is known in which groups the box does not have a person.
"""

from collections.abc import Sequence

from clients.migration.answers import BadAnswer
from clients.migration.box import Here
from clients.migration.paging import Pages
from clients.migration.plan import STAYS_IN_GROUP
from clients.migration.report import LeftOut
from clients.migration.state import State
from contract.http import GROUP_USERS_PATH

_AT_A_TIME = 100


async def compare_members(here: Here, group_names: Sequence[str], state: State, page: int, *, update: bool) -> None:
    """Take people from the groups in which the box does not have them, or without `update` name them in the report.

    Only people whose groups at the box are known, and groups that the box listed whole, are compared.

    Raises:
        CannotRun: the server does not answer.
    """
    unread = [name for name in group_names if name not in state.finished or name in state.incomplete]
    if unread:
        state.report.remark(
            f"the members of groups that the box did not list whole are not compared: {', '.join(unread)}"
        )
    for group_name in group_names:
        if group_name not in unread:
            await _compare(here, group_name, state, page, update=update)


async def _compare(here: Here, group_name: str, state: State, page: int, *, update: bool) -> None:
    try:
        members = await _members(here, group_name, page)
    except BadAnswer as error:
        state.report.remark(f"the server did not list the people of the group {group_name}: {error}")
        return
    strangers = [who for who in members if group_name not in state.people.get(who, (group_name,))]
    if not update:
        state.report.leave_out(*(_left(who, group_name, STAYS_IN_GROUP) for who in strangers))
        return
    for first in range(0, len(strangers), _AT_A_TIME):
        some = strangers[first : first + _AT_A_TIME]
        answer, _ = await here.ask("DELETE", GROUP_USERS_PATH, {"group_name": group_name, "identity_id": some})
        for who in some:
            if answer.http_status == 200 and answer.code is None:
                state.report.add("membership", "changed")
            else:
                state.report.leave_out(_left(who, group_name, answer.error_text))


async def _members(here: Here, group_name: str, page: int) -> Sequence[str]:
    """Return the identity_ids of the people of a group, who are all read before one is taken from it."""
    pages, found = Pages(page), dict[str, None]()
    while not pages.done:
        people, bad = await here.members(group_name, pages.skip, pages.limit)
        pages.take([person.identity_id for person in people], len(bad))
        found.update((person.identity_id, None) for person in people)
    return list(found)


def _left(who: str, group_name: str, reason: str) -> LeftOut:
    return LeftOut("membership", f"{who} in group {group_name}", reason)
