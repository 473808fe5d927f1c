"""Every command's help, and the documents: what they name exists, and the defaults that they give are the real ones."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from contract.kinds import ERASE_KIND, EVENT_KINDS, STAGES
from picturematch.__main__ import cli
from picturematch.settings import Settings
from picturematch.settings_listing import list_settings

ROOT = Path(__file__).parents[3]
SETTINGS = {setting.path: setting.value for setting in list_settings(Settings())}
SECTIONS = {path.partition(".")[0] for path in SETTINGS if "." in path}


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
OPTIONS = [(name, p) for name, command in COMMANDS.items() for p in command.params if isinstance(p, click.Option)]


def calls(text: str) -> list[str]:
    """The calls of picturematch in lines of a shell, without what stands behind a pipe or a redirection."""
    joined = text.replace("\\\n", " ")
    return [
        call.strip()
        for call in re.findall(r"(?:^|[\s|(]|bin/)(picturematch(?![.\w:-])(?: [^\n|<>&)#]+)?)", joined, re.M)
    ]


def examples(name: str) -> list[str]:
    return calls(COMMANDS[name].epilog or "")


def names(words: list[str]) -> str:
    """The command that those words call."""
    return next(name for n in (2, 1) if (name := " ".join(words[:n])) in COMMANDS)


@pytest.mark.parametrize("width", [60, 80, 100])
def test_the_list_of_commands_has_the_first_sentence_of_each_ones_help(width: int):
    ctx, listed, loaded = click.Context(cli), click.HelpFormatter(width=width), click.HelpFormatter(width=width)
    assert isinstance(cli, click.Group)
    cli.format_commands(ctx, listed)
    click.Group.format_commands(cli, ctx, loaded)
    assert listed.getvalue() == loaded.getvalue()


def own_words(name: str) -> str:
    """What the command says of itself and of its options."""
    command = COMMANDS[name]
    helps = [option.help or "" for option in command.params if isinstance(option, click.Option)]
    return "\n".join([command.help or "", *helps])


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[click.Command]:
    """The commands that are called from now on; none does anything, and paths need not exist."""
    found: list[click.Command] = []
    monkeypatch.setattr(click.Command, "invoke", lambda self, _: found.append(self))
    monkeypatch.setattr(click.Path, "convert", lambda _self, value, _param, _ctx: value)
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_there_is_an_example_of_the_command_itself(name: str) -> None:
    below = [other for other in COMMANDS if other.startswith(f"{name} ")]
    assert {names(shlex.split(call)[1:]) for call in examples(name)} & {name, *below}


@pytest.mark.parametrize("call", [call for name in COMMANDS for call in examples(name)])
def test_an_example_is_a_call_that_the_command_takes(called: list[click.Command], call: str) -> None:
    words = shlex.split(call)[1:]
    cli.main(words, prog_name="picturematch", standalone_mode=False)
    assert called[-1] is COMMANDS[names(words)]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_is_printed(name: str) -> None:
    printed = CliRunner().invoke(cli, [*name.split(), "--help"])
    assert printed.exit_code == 0
    assert f"Usage: cli {name} " in printed.output


@pytest.mark.parametrize("name", COMMANDS)
def test_options_settings_and_commands_that_a_help_text_names_exist(name: str) -> None:
    text = own_words(name)
    known = {option for p in COMMANDS[name].params for option in (*p.opts, *p.secondary_opts)}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text)) <= known
    assert set(re.findall(rf"\b(?:{'|'.join(SECTIONS)})\.[a-z_]+\b(?!\.)", text)) <= set(SETTINGS)
    assert set(re.findall(r"`picturematch ([a-z-]+)", text)) <= set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_described(name: str) -> None:
    for parameter in COMMANDS[name].params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            described = parameter.help or parameter.show_default or isinstance(parameter.type, click.Choice)
            assert described, f"{name}: {parameter.opts}"


def test_a_default_that_is_a_setting_is_named_with_its_value_and_nothing_else_is_set() -> None:
    named = [(name, option) for name, option in OPTIONS if str(option.show_default).startswith("the setting ")]
    for name, option in named:
        said = re.fullmatch(r"the setting ([\w.]+)(?:, (.*) unless changed|, or .*)?", str(option.show_default))
        assert said is not None, (name, option.show_default)
        assert said[1] in SETTINGS
        assert said[2] in (None, str(SETTINGS[said[1]]))
        assert option.to_info_dict()["default"] is None
    assert {"serve", "ingest", "process", "topics create", "log check", "config"} <= {name for name, _ in named}


def test_no_help_text_gives_a_default_that_nothing_checks() -> None:
    assert [(name, option.opts) for name, option in OPTIONS if "default:" in (option.help or "")] == []


def choices(name: str, option: str) -> set[str]:
    """What the option of that command takes."""
    (found,) = [p for p in COMMANDS[name].params if p.name == option]
    assert isinstance(found.type, click.Choice)
    return set(found.type.choices)


def test_every_kind_of_event_and_every_stage_can_be_chosen() -> None:
    assert choices("events", "kinds") == {*EVENT_KINDS, ERASE_KIND, "people", "site"}
    assert choices("dead-letters list", "stage") == set(STAGES)
    (stage,) = [p for p in COMMANDS["dead-letters list"].params if p.name == "stage"]
    assert stage.type.convert("sink/hall", stage, None) == "sink/hall"


def test_the_shell_completes_commands_options_and_choices() -> None:
    def completed(line: str) -> set[str]:
        words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
        printed = CliRunner().invoke(
            cli, prog_name="picturematch", env={"_PICTUREMATCH_COMPLETE": "bash_complete", **words}
        )
        return {found.partition(",")[2] for found in printed.output.splitlines()}

    assert completed("picturematch dead-") == {"dead-letters"}
    assert {"--since", "--stage"} <= completed("picturematch dead-letters list --")
    assert completed("picturematch dead-letters list --stage ") == set(STAGES)


DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
IN_BLOCKS = [
    pytest.param(call, id=f"{document.name}: {call}")
    for document in DOCUMENTS
    for block in re.findall(r"^```sh\n(.*?)^```", document.read_text(), re.S | re.M)
    for call in calls(block)
    if call != "picturematch"
]
IN_LINES = [
    pytest.param(call, id=f"{document.name}: {call}")
    for document in DOCUMENTS
    for call in re.findall(r"`picturematch ([^`]+)`", document.read_text())
]


@pytest.mark.parametrize("call", IN_BLOCKS)
def test_a_call_in_a_document_is_one_that_the_command_takes(called: list[click.Command], call: str) -> None:
    words = shlex.split(call)[1:]
    cli.main(words, prog_name="picturematch", standalone_mode=False)
    assert called[-1] is COMMANDS[names(words)]


@pytest.mark.parametrize("call", IN_LINES)
def test_commands_and_options_that_a_sentence_of_a_document_names_exist(call: str) -> None:
    words = call.replace("…", "").split()
    command = COMMANDS[names(words)]
    known = {option for p in command.params for option in (*p.opts, *p.secondary_opts)} | {"--help"}
    assert {word for word in words if word.startswith("--")} <= known
