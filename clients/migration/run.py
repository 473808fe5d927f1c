"""Carries a migration out: reads the box, enrols here, and reports.

Groups and permissions first, then the people of one group after the other, then those who are in no group, then the
devices. Everything is looked for
here before it is created, so that a migration may be repeated: a second one changes nothing.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from clients.answers import ServerAnswer
from clients.enrol import lookalikes_in
from clients.http import Client, all_or_first_error
from clients.migration.answers import BadAnswer, BoxDevice, BoxPerson
from clients.migration.box import Box, Here
from clients.migration.members import compare_members
from clients.migration.paging import Pages
from clients.migration.plan import (
    DEVICE_DIFFERS,
    DIFFERS,
    IN_NO_GROUP,
    NO_PHOTO,
    is_enrolled,
    is_registered,
    plan_device,
    plan_person,
)
from clients.migration.report import Kind, LeftOut, Outcome, Report
from clients.migration.site import SiteMigration
from clients.migration.state import State
from clients.retry import Sleep
from contract.errors import Code
from contract.http import DEVICES_PATH, GROUP_USERS_PATH, USERS_PATH
from contract.terms import QualityLevel

_EVERYBODY = ""
"""Stands for everybody where the name of a group stands, which is never empty."""


@dataclass(frozen=True, slots=True)
class MigrateOptions:
    """The options of a migration. `page`: people per call; `quality_level` None means the server's own level."""

    quality_level: QualityLevel | None = None
    update: bool = False
    page: int = 20
    concurrency: int = 4


@dataclass(frozen=True, slots=True)
class _Done:
    """The result of one object: an outcome, or what was left out; `groups` are those of a person who is enrolled."""

    outcome: Outcome | None = None
    left_out: tuple[LeftOut, ...] = ()
    groups: frozenset[str] = frozenset()
    kind: Kind = "person"


async def migrate(
    box_client: Client,
    client: Client,
    state: State,
    options: MigrateOptions,
    step: Callable[[], None],
    sleep: Sleep = asyncio.sleep,
) -> Report:
    """Take everything from a box and return the report.

    Args:
        box_client: the entered client of the box.
        client: the entered client of this server.
        state: the entered state, with what earlier runs did.
        options: the options of the migration.
        step: called once per person.
        sleep: waits that many seconds between attempts.

    Raises:
        CannotRun: the box or the server does not answer, or does not speak version 5; run it again to go on.
    """
    box, here = Box(box_client, "the box", sleep), Here(client, "the server", sleep)
    site = SiteMigration(box, here, state, update=options.update)
    run = _Migration(box, here, site, state, options)
    groups = await site.take()
    for group in groups:
        await run.take_people(group, step)
    await run.name_people_without_group()
    await compare_members(here, groups, state, options.page, update=options.update)
    await run.take_devices()
    return state.report


class _Migration:
    """The people and the devices of one migration."""

    def __init__(self, box: Box, here: Here, site: SiteMigration, state: State, options: MigrateOptions) -> None:
        self._box, self._here, self._site = box, here, site
        self._state, self._options = state, options
        self._report = state.report

    async def take_people(self, group_name: str, step: Callable[[], None]) -> None:
        """Take the people of a group, page by page, from where the state is."""
        if group_name in self._state.finished:
            return
        pages = Pages(self._options.page, *self._state.places.get(group_name, (0, None)))
        while not pages.done:
            asked = pages.skip
            try:
                people, bad = await self._box.people(group_name, asked, pages.limit)
            except BadAnswer as error:
                reason = f"the box did not answer with the people from skip_num {asked} on: {error}"
                self._report.leave_out(LeftOut("group", group_name, reason))
                return
            pages.take([person.identity_id for person in people], len(bad))
            bad = [replace(one, name=f"{one.name}, group {group_name}, skip_num {asked}") for one in bad]
            await self._take_page(group_name, pages, people, bad, step)
        if pages.repeats:
            self._state.note_incomplete(group_name)
            self._report.remark(f"the box repeats people of the group {group_name}: there may be more whom it conceals")

    async def name_people_without_group(self) -> None:
        """Name the people who are in no group of the box, where it lists everybody; they are not taken, because nobody
        can be enrolled without a group."""
        if _EVERYBODY in self._state.finished:
            return
        pages = Pages(self._options.page, *self._state.places.get(_EVERYBODY, (0, None)))
        while not pages.done:
            try:
                people, bad = await self._box.people(_EVERYBODY, pages.skip, pages.limit)
            except BadAnswer:
                self._report.remark("the box does not list everybody, so people who are in no group are not named")
                return
            pages.take([person.identity_id for person in people], len(bad))
            lost = [one.identity_id for one in people if one.in_no_group and one.identity_id not in self._state.people]
            left_out = [LeftOut("person", who, IN_NO_GROUP) for who in lost]
            place = None if pages.done else (pages.skip, pages.step)
            self._state.note_page(_EVERYBODY, place, dict.fromkeys(lost, frozenset()), (), left_out)

    async def take_devices(self) -> None:
        """Take the devices."""
        found = await self._box.devices()
        if found is None:
            self._report.remark("the box has no call that lists devices, so none was taken")
            return
        devices, bad = found
        self._report.leave_out(*bad)
        here = {device.address: device for device in ((await self._here.devices()) or ((), ()))[0]}
        await self._site.learn_permissions([str(device.fields.get("permission_id") or "") for device in devices])
        for device in devices:
            self._note(await self._take_device(device, here.get(device.address)))

    def _note(self, done: _Done) -> None:
        if done.outcome is not None:
            self._report.add(done.kind, done.outcome)
        self._report.leave_out(*done.left_out)

    async def _take_page(
        self,
        group_name: str,
        pages: Pages,
        people: Sequence[BoxPerson],
        bad: Sequence[LeftOut],
        step: Callable[[], None],
    ) -> None:
        if bad:
            self._state.note_incomplete(group_name)
        await self._site.learn_permissions([one for person in people for one in person.permission_ids or ()])
        turns, results = asyncio.Semaphore(self._options.concurrency), dict[str, _Done]()

        async def take(person: BoxPerson) -> None:
            async with turns:
                results[person.identity_id] = await self._take_person(person, group_name)
            step()

        once = {person.identity_id: person for person in people}
        await all_or_first_error(*map(take, once.values()))
        enrolled = {
            who: self._state.people.get(who, frozenset()) | done.groups
            for who, done in results.items()
            if done.outcome is not None
        }
        counted = [(done.kind, done.outcome) for done in results.values() if done.outcome is not None]
        left_out = [*bad, *(one for done in results.values() for one in done.left_out)]
        place = None if pages.done else (pages.skip, pages.step)
        self._state.note_page(group_name, place, enrolled, counted, left_out)

    async def _take_person(self, person: BoxPerson, group_name: str) -> _Done:
        """Enrol a person, or add a person who was enrolled from another group to this group."""
        known = self._state.people.get(person.identity_id)
        if known is not None:
            return _Done() if group_name in known else await self._join(person.identity_id, group_name)
        person = replace(person, group_names=tuple(dict.fromkeys((*person.group_names, group_name))))
        if not person.photo and person.image_id:
            person = replace(person, photo=await self._box.photo(person.image_id))
        if not person.photo:
            return _Done(left_out=(LeftOut("person", person.identity_id, NO_PHOTO),))
        planned = plan_person(person, self._site.scopes, self._options.quality_level, update=self._options.update)
        if planned.body is None:
            return _Done(left_out=planned.left_out)
        outcome = await self._enrol(planned.body)
        if isinstance(outcome, LeftOut):
            return _Done(left_out=(outcome,))
        return _Done(outcome, planned.left_out, frozenset(planned.body["group_name"].split(",")))

    async def _enrol(self, body: Mapping[str, Any]) -> Outcome | LeftOut:
        who = str(body["identity_id"])
        here = await self._enrolled(who) if self._options.update else None
        if here is not None and is_enrolled(body, here):
            return "there already"
        answer, doubtful = await self._here.ask("POST", USERS_PATH, body)
        if answer.http_status == 200 and answer.code is None:
            for other, percent in lookalikes_in(answer):
                self._report.remark(f"the face of {who} is too similar to that of {other} ({percent:.1f} %)")
            if answer.unchanged:
                return "taken" if doubtful else "there already"
            return "taken" if here is None else "changed"
        if answer.code != Code.IDENTITY_EXSIT_ERROR:
            return LeftOut("person", who, answer.error_text)
        here = await self._enrolled(who)
        return "there already" if here is not None and is_enrolled(body, here) else LeftOut("person", who, DIFFERS)

    async def _enrolled(self, identity_id: str) -> BoxPerson | None:
        """Return a person as enrolled here, with the photo; None also where the person cannot be read."""
        try:
            here = await self._here.person(identity_id)
        except BadAnswer:
            return None
        if here is not None and not here.photo and here.image_id:
            here = replace(here, photo=await self._here.photo(here.image_id))
        return here

    async def _join(self, identity_id: str, group_name: str) -> _Done:
        body = {"group_name": group_name, "identity_id": [identity_id]}
        answer, _ = await self._here.ask("PUT", GROUP_USERS_PATH, body)
        if answer.http_status == 200 and answer.code is None:
            return _Done("taken", groups=frozenset((group_name,)), kind="membership")
        return _Done(left_out=(LeftOut("membership", f"{identity_id} in group {group_name}", answer.error_text),))

    async def _take_device(self, device: BoxDevice, here: BoxDevice | None) -> _Done:
        entry = plan_device(device, self._site.scopes)
        if isinstance(entry, LeftOut):
            return _Done(left_out=(entry,))
        if here is not None and is_registered(entry, here):
            was_made = ("device", device.address) in self._state.made
            return _Done("taken" if was_made else "there already", kind="device")
        if here is not None and not self._options.update:
            return _Done(left_out=(LeftOut("device", device.address, DEVICE_DIFFERS),))
        if here is not None:
            entry = {name: value for name, value in entry.items() if name != "device_id"}
        answer, _ = await self._here.ask("POST", DEVICES_PATH, {"devices_list": [entry]})
        reason = _refusal_of_device(answer)
        if reason is not None:
            return _Done(left_out=(LeftOut("device", device.address, reason),))
        self._state.note_made("device", device.address)
        if entry["device_type"] != "photo":
            self._report.remark(f"the device {device.name} sends video, which is not read here")
        return _Done("taken" if here is None else "changed", kind="device")


def _refusal_of_device(answer: ServerAnswer) -> str | None:
    """Return why a device was not registered; None where it was."""
    if answer.http_status != 200 or answer.code is not None:
        return answer.error_text
    data = answer.fields.get("data")
    data = data if isinstance(data, dict) else {}
    if data.get("success_devices"):
        return None
    failed = data.get("failed_devices")
    first = failed[0] if isinstance(failed, list) and failed and isinstance(failed[0], dict) else {}
    return str(first.get("reason") or "the server did not register it")
