"""Every command's help: there is an example, and what an example uses exists."""

import re
import shlex
from collections.abc import Iterator

import click
import pytest

from picturematch.__main__ import cli
from picturematch.settings import Settings

SETTING_OF_OPTION = {
    ("serve", "host"): Settings().ingest.host,
    ("serve", "port"): Settings().ingest.port,
    ("ingest", "host"): Settings().ingest.host,
    ("ingest", "port"): Settings().ingest.port,
    ("process", "health_host"): Settings().health.host,
    ("process", "health_port"): Settings().health.port,
}


def commands() -> Iterator[tuple[str, click.Command]]:
    """All commands with their names, groups and what is below them."""
    ctx = click.Context(cli)

    def below(prefix: str, group: click.Group) -> Iterator[tuple[str, click.Command]]:
        for name in group.list_commands(ctx):
            command = group.get_command(ctx, name)
            assert command is not None, name
            yield f"{prefix}{name}", command
            if isinstance(command, click.Group):
                yield from below(f"{prefix}{name} ", command)

    assert isinstance(cli, click.Group)
    yield from below("", cli)


COMMANDS = dict(commands())


def examples(command: click.Command) -> list[str]:
    """The calls of picturematch in its epilog, without what stands behind a pipe or a redirection."""
    calls = re.findall(r"picturematch [^\n|>]+", command.epilog or "")
    return [call.strip() for call in calls]


@pytest.mark.parametrize("name", COMMANDS)
def test_there_is_an_example_of_the_command_itself(name: str) -> None:
    assert any(call.startswith(f"picturematch {name.split()[0]}") for call in examples(COMMANDS[name]))


@pytest.mark.parametrize("name", COMMANDS)
def test_the_options_of_an_example_exist(name: str) -> None:
    for call in examples(COMMANDS[name]):
        words = shlex.split(call)[1:]
        found = next(" ".join(words[:n]) for n in (2, 1) if " ".join(words[:n]) in COMMANDS)
        known = {option for p in COMMANDS[found].params for option in (*p.opts, *p.secondary_opts)} | {"--help"}
        group = {o for p in COMMANDS[found.split()[0]].params for o in p.opts}
        assert {word for word in words if re.match(r"--?[a-z]", word)} <= known | group, call


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_described(name: str) -> None:
    for parameter in COMMANDS[name].params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            described = parameter.help or parameter.show_default or isinstance(parameter.type, click.Choice)
            assert described, f"{name}: {parameter.opts}"


@pytest.mark.parametrize(
    ("place", "value"), SETTING_OF_OPTION.items(), ids=lambda v: "-".join(v) if isinstance(v, tuple) else ""
)
def test_a_default_that_a_help_text_gives_is_that_of_the_setting(place: tuple[str, str], value: object) -> None:
    command, option = place
    (found,) = [p for p in COMMANDS[command].params if p.name == option]
    assert isinstance(found, click.Option)
    assert f"[default: {value}]" in (found.help or "")
