"""Which events the options of `picturematch events --kind` select: exactly those that they name."""

from typing import Any

import pytest
from click.testing import CliRunner

from contract.kinds import ADMIN_KINDS, ERASE_KIND, EVENT_KINDS, PEOPLE_KINDS, SITE_KINDS
from picturematch.__main__ import cli
from picturematch.commands import events

PEOPLE = {"enrol", "delete", "stranger", "members", "wipe", "reembed", "import"}
SITE = {"group", "permission", "devices", "settings", "key"}


def test_each_administrative_kind_is_about_people_or_about_the_site() -> None:
    assert (set(PEOPLE_KINDS), set(SITE_KINDS)) == (PEOPLE, SITE)
    assert sorted(ADMIN_KINDS) == sorted((*PEOPLE_KINDS, *SITE_KINDS))


def selected(monkeypatch: pytest.MonkeyPatch, *options: str) -> set[str]:
    """The kinds whose events the command prints."""
    chosen: list[Any] = []
    monkeypatch.setattr(events, "print_records", lambda *_, choice, **__: chosen.append(choice))
    done = CliRunner().invoke(cli, ["events", *(part for kind in options for part in ("--kind", kind))])
    assert done.exit_code == 0, done.output
    every = (*EVENT_KINDS, ERASE_KIND)
    return {kind for kind in every if chosen[0].wants({"kind": kind})}


@pytest.mark.parametrize(
    ("options", "kinds"),
    [
        (["people"], PEOPLE | {"erase"}),
        (["site"], SITE),
        (["devices"], {"devices"}),
        (["people", "devices"], PEOPLE | {"erase", "devices"}),
        (["people", "site", "match"], PEOPLE | SITE | {"erase", "match"}),
        ([], {*EVENT_KINDS, "erase"}),
    ],
    ids=lambda value: "+".join(sorted(value)) or "all",
)
def test_an_option_selects_exactly_the_kinds_that_it_names(
    monkeypatch: pytest.MonkeyPatch, options: list[str], kinds: set[str]
) -> None:
    assert selected(monkeypatch, *options) == kinds


@pytest.mark.parametrize("kind", [*EVENT_KINDS, ERASE_KIND])
def test_every_kind_is_an_option_that_selects_itself(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    assert selected(monkeypatch, kind) == {kind}


def test_the_help_names_the_kinds_of_each_option() -> None:
    words = " ".join(CliRunner().invoke(cli, ["events", "--help"]).output.split())
    assert f"people: {', '.join((*PEOPLE_KINDS, ERASE_KIND))}." in words
    assert f"site: {', '.join(SITE_KINDS)}." in words
