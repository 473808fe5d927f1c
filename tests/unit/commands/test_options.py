import itertools
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from picturematch.__main__ import cli
from picturematch.options import UserError, config_option, settings_of


@click.group()
@config_option
def outer() -> None:
    """A command with commands below it."""


@outer.command()
@config_option
@click.pass_context
def inner(ctx: click.Context) -> None:
    """Tell the port that the settings hold."""
    click.echo(settings_of(ctx).ingest.port)


def port_told(folder: Path, **places: int) -> int:
    """What `inner` tells with a settings file, of that port, in each of the places."""
    arguments: dict[str, list[str]] = {"before": [], "after": [], "environment": []}
    for place, port in places.items():
        file = folder / f"{place}.toml"
        file.write_text(f"[ingest]\nport = {port}\n")
        arguments[place] = ["--config", str(file)]
    environment = {"PICTUREMATCH_CONFIG": arguments["environment"][1] if arguments["environment"] else None}
    result = CliRunner().invoke(
        outer, [*arguments["before"], "inner", *arguments["after"]], env=environment, catch_exceptions=False
    )
    return int(result.output)


@pytest.mark.parametrize(
    "places",
    [places for count in range(4) for places in itertools.combinations(("environment", "before", "after"), count)],
)
def test_a_settings_file_counts_wherever_it_is_named_and_the_last_written_most(
    tmp_path: Path, places: tuple[str, ...]
) -> None:
    ports = {place: 6001 + number for number, place in enumerate(places)}
    assert port_told(tmp_path, **ports) == (ports[places[-1]] if places else 5555)


@pytest.mark.parametrize("command", ["serve", "demo"])
def test_networks_that_cannot_be_had_are_told_in_one_sentence(tmp_path: Path, command: str) -> None:
    missing = tmp_path / "none.toml"
    result = CliRunner().invoke(cli, [command], env={"PICTUREMATCH_MODELS__MANIFEST": str(missing)})
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"picturematch: the manifest {missing} cannot be read: No such file or directory\n"


def test_a_sentence_for_the_user_never_steers_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    UserError("requests can no longer be processed: \x1b]0;\x9b31m\u202egone\u2028\nfix it").show()
    assert capsys.readouterr().err == (
        "picturematch: requests can no longer be processed: \ufffd]0;\ufffd31m\ufffdgone\ufffd\nfix it\n"
    )
