"""picturematch people erase: delete a person and erase what the log contains about the person."""

from pathlib import Path

import click
import msgspec

from contract.text import printable
from picturematch.options import config_option, log_options, server_options, settings_of, yes_option
from picturematch.shell import echo_json, run

_TITLES = {
    "deleted": "deleted",
    "erased": "erased",
    "pieces": "pieces left",
    "waits": "waits for its retention",
    "outside": "outside the log",
}


@click.command(
    epilog="""\b
Examples:
  picturematch people erase 666666
  picturematch people erase 666666 --yes --json --broker kafka://kafka:9092"""
)
@config_option
@click.argument("identity_id", metavar="ID")
@server_options
@log_options
@yes_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@click.pass_context
def erase(
    ctx: click.Context,
    identity_id: str,
    url: str,
    api_key: str | None,
    broker: str | None,
    data_folder: Path | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Delete the person with that ID, and erase what the log contains about the person.

    Embeddings, photos, pictures in which the person was recognised, evidence and answers are erased in the embedded
    log of the running server before the command ends: neither the log's file nor its WAL contains them afterwards.
    Kafka cannot erase single records, so there the command prints until when they stay. On both logs, events, which
    contain the id and the name, and requests and audit records with the id alone stay until their retention ends. The
    command prints what lies outside the log, where nobody but you can erase it. The erasure is recorded as an event and
    an audit record of the kind erase, and may be run again.

    Exit status: 0 nothing with a picture or an embedding of the person is known to be left in the log, 1 some of it
    waits for its retention, 2 the command failed.
    """
    from picturematch.erasing import erase_person  # so that --help does not import the adapters
    from picturematch.erasure_report import waits_with_faces

    settings = settings_of(ctx, broker=broker, data_folder=data_folder)
    if not yes:
        question = f"Delete the person {identity_id} and erase all records about the person, for ever?"
        click.confirm(printable(question), abort=True, err=True)
    lines = run(erase_person(settings, identity_id, url, api_key))
    for line in lines:
        if as_json:
            echo_json(msgspec.to_builtins(line))
        else:
            click.echo(printable(f"{_TITLES[line.what]}: {line.sentence}"))
    ctx.exit(1 if waits_with_faces(lines) else 0)
