"""picturematch people delete: delete some people, or everybody, at a running server."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import click

from clients.errors import CannotRun
from clients.site import Fields, SiteCalls
from contract.errors import Code
from contract.http import USERS_PATH
from contract.text import printable
from picturematch.options import config_option, server_options, settings_of, yes_option
from picturematch.outlet_copies import copies_left
from picturematch.shell import echo_json, progress
from picturematch.site_commands import json_option, people_counted, wants_json, with_site

_AT_ONCE = 100


@click.command(
    epilog="""\b
Examples:
  picturematch people delete 666666
  picturematch people delete --all --yes"""
)
@config_option
@click.argument("identity_ids", nargs=-1, metavar="[ID]...")
@server_options
@click.option("--all", "everybody", is_flag=True, help="Delete everybody who is enrolled.")
@yes_option
@json_option
@click.pass_context
def delete(
    ctx: click.Context,
    identity_ids: tuple[str, ...],
    url: str,
    api_key: str | None,
    everybody: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Delete the people with these IDs, or everybody, with faces and photos.

    Pictures of them that devices sent stay in the log for as long as requests; `erase` removes these too. --all
    deletes 100 people with each call, so that a site of any size keeps answering meanwhile. Devices, groups and
    permissions stay. A command that was interrupted is run again and goes on with those who are left. What the log, the
    store of events, the sinks and the receivers of uploads still have of the people is printed; the sinks are those of
    the settings of this command.

    Exit status: 0 all were deleted, 1 some were not, 2 the command failed.
    """
    if bool(identity_ids) == everybody:
        raise click.UsageError("name the IDs of the people, or give --all")
    if everybody and not yes:
        click.confirm("Delete everybody who is enrolled?", abort=True, err=True)
    deletion, settings = _Deletion(), settings_of(ctx)

    async def work(site: SiteCalls) -> None:
        if everybody:
            await deletion.everybody(site)
        else:
            await deletion.several(site, list(dict.fromkeys(identity_ids)))
        if deletion.deleted:
            await deletion.ask_for_receivers(site)

    with_site(url, api_key, work)
    left = [*copies_left(settings, deletion.receivers)] if deletion.deleted else []
    if wants_json(as_json):
        echo_json({"deleted": deletion.deleted, "failed": list(deletion.failed.values()), "left": left})
    else:
        click.echo(printable(f"deleted {people_counted(len(deletion.deleted))}"))
        for each in left:
            click.echo(printable(f"left: {each}"))
    if deletion.unknown:
        click.echo(printable(f"the receivers of uploads are not known: {deletion.unknown}"), err=True)
    for failed in deletion.failed.values():
        click.echo(printable(f"{failed['identity_id']}: {failed['error']['message']}"), err=True)
    ctx.exit(1 if deletion.failed else 0)


@dataclass
class _Deletion:
    """The people who were deleted, and by identity_id the failures of those who were not.

    `receivers`: the URLs to which the server uploads events; `unknown`: why they are not known, "" where they are.
    """

    deleted: list[str] = field(default_factory=list)
    failed: dict[str, Fields] = field(default_factory=dict)
    receivers: Sequence[str] = ()
    unknown: str = ""

    async def several(self, site: SiteCalls, wanted: Sequence[str]) -> None:
        """Delete the people with these ids, some with each call."""
        for first in range(0, len(wanted), _AT_ONCE):
            some = wanted[first : first + _AT_ONCE]
            fields = {"identity_id": some[0]} if len(wanted) == 1 else {"identity_ids": some}
            answer = await site.change("DELETE", USERS_PATH, fields)
            self.deleted += answer.get("identity_ids", some)
            self.failed |= {each["identity_id"]: each for each in answer.get("failed", ())}

    async def ask_for_receivers(self, site: SiteCalls) -> None:
        """Ask the server to whom it uploads events; the people are deleted whatever it answers."""
        try:
            self.receivers = await site.event_receivers()
        except CannotRun as error:
            self.unknown = str(error)

    async def everybody(self, site: SiteCalls) -> None:
        """Delete people from the beginning of the list until it contains only those who cannot be deleted.

        Raises:
            CannotRun: a call failed; the message gives the number of people who were deleted before it.
        """
        try:
            wanted, total = await self._left(site)
            with progress("deleting people", total) as steps:
                while wanted:
                    before = len(self.deleted)
                    await self.several(site, wanted)
                    self._forget_those_who_are_gone()
                    steps.step(len(self.deleted) - before)
                    wanted, _ = await self._left(site)
        except CannotRun as error:
            if not self.deleted:
                raise
            done = people_counted(len(self.deleted))
            raise CannotRun(f"{done} deleted; run the command again for the others: {error}") from error

    async def _left(self, site: SiteCalls) -> tuple[Sequence[str], int]:
        """Return the ids of the next people who can be deleted, and the number of people who are enrolled.

        The list is in the order of ids, so that those who cannot be deleted come before them.
        """
        wanted: list[str] = []
        async for page in site.people({}, len(self.failed) + _AT_ONCE):
            wanted += [person["identity_id"] for person in page.people if person["identity_id"] not in self.failed]
            total = page.total
        return wanted[:_AT_ONCE], total

    def _forget_those_who_are_gone(self) -> None:
        """Forget the failures of people whom somebody else has deleted meanwhile."""
        self.failed = {who: each for who, each in self.failed.items() if each["error"].get("code") != Code.ID_NOT_FOUND}
