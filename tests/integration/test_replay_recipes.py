"""Every command of the recipes in docs/replay.md runs, on what a running system has recorded."""

import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest

from picturematch.__main__ import cli
from tests.support.commands import ROOT
from tests.support.passages import GATE, REGULAR, Passages
from tests.support.scripted_server import Answer, Body, scripted_server
from tests.support.sites import at, embedded_site

RECIPES = (ROOT / "docs/replay.md").read_text().partition("\n## Recipes\n")[2]
TITLES = [title for title, _ in re.findall(r"^### (.*?)$(.*?)(?=^### |\Z)", RECIPES, re.S | re.M)]
FILES = re.compile(r"^[a-z]+$|^[\w-]+\.(html|csv|xml|toml|tar\.zst)$")
BOX = "http://10.0.0.9:5555"


def commands_of(title: str) -> list[list[str]]:
    """The words of the commands of a recipe, without variables and without `picturematch`."""
    (text,) = re.findall(rf"^### {re.escape(title)}$(.*?)(?=^### |\Z)", RECIPES, re.S | re.M)
    lines = [line for block in re.findall(r"```sh\n(.*?)```", text, re.S) for line in block.splitlines()]
    assert lines
    return [shlex.split(line.partition("picturematch ")[2]) for line in lines]


def here(words: list[str], folder: Path, url: str) -> list[str]:
    """The same command in a folder of the test, at its own times, doors and server."""
    named = {"192.168.1.22": GATE, BOX: url}
    return [
        named.get(word, str(folder / word) if number and is_file(words, number) else word)
        for number, word in enumerate(words)
        if not is_time(words, number)
    ]


def is_file(words: list[str], number: int) -> bool:
    before = words[number - 1]
    takes_no_file = before in ("--photos", "--scale", "--fail-on") or (words[0] == "capture" and number == 1)
    return FILES.match(words[number]) is not None and not takes_no_file


def is_time(words: list[str], number: int) -> bool:
    times = ("--since", "--until")
    return words[number] in times or words[number - 1] in times


def box(_: Body) -> Answer:
    """A vendor's box, which takes everybody for one person, on the percent scale."""
    return 200, {"retcode": "1", "identity_id": REGULAR, "name": "Regular", "score": 97.5, "identity_info": {}}


@pytest.mark.parametrize("title", TITLES)
async def test_every_command_of_a_recipe_runs(tmp_path: Path, title: str) -> None:
    async with embedded_site(tmp_path) as site:
        passages = Passages(site, seed=6)
        await passages.set_up()
        await passages.pass_many(passages.every_outcome())
        await passages.pass_many(passages.resembling_people())
        (tmp_path / "badges.csv").write_text(f"device_ip,time,identity_id\n{GATE},{site.now_s()},{REGULAR}\n")
        async with scripted_server(box) as server:
            for words in commands_of(title):
                if "new-networks.toml" in words or words[0] == "models":
                    understood(words)  # there are no other networks here
                    continue
                done = await at(site, *here(words, tmp_path, server.url))
                assert done.status in expected_statuses(words), (words, done.out[-2000:], done.err)
                for file in (word for word in words if word.endswith((".html", ".xml", ".zst"))):
                    assert (tmp_path / file).stat().st_size > 0
            assert "X-Replay-Of" not in server.headers


def expected_statuses(words: list[str]) -> tuple[int, ...]:
    """What changes nothing differs in nothing; what changes something may differ."""
    return (0, 1) if {"--threshold", "--target-fpir", "--url"} & set(words) else (0,)


def understood(words: list[str]) -> None:
    """Check that a command has these options, without running it."""
    command: Any = cli
    rest = list(words)
    while isinstance(command, click.Group):
        command = command.get_command(click.Context(command), rest.pop(0))
    options = {name for parameter in command.params for name in parameter.opts}
    assert {word for word in rest if word.startswith("--")} <= options


def test_the_recipes_are_those_that_were_asked_for() -> None:
    assert len(TITLES) == 4
