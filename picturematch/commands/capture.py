"""picturematch capture: make, check, pack and unpack captures."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec
from rich.filesize import decimal

from capture.archive import pack, unpack
from capture.contents import Contents, contents_of
from capture.inflating import DEFAULT_LIMITS
from capture.reader import CaptureReader
from contract.text import printable
from picturematch.captures import MegabyteSteps, opened_capture, sentences, unpacking
from picturematch.commands import capture_from
from picturematch.options import config_option
from picturematch.shell import counted, echo_json, ended_by_signals, print_line, progress


@click.group(epilog="Example: picturematch capture check monday")
@config_option
def command() -> None:
    """Make captures from pictures, check captures, and pack a capture into one file.

    `picturematch record` makes a capture from the log. A capture is a folder, or one .tar.zst file; it contains faces,
    so only you can read what these commands write.
    """


for _subcommand in (capture_from.from_list, capture_from.from_folders, capture_from.from_pairs):
    command.add_command(_subcommand)


_most_bytes = click.option(
    "--most-bytes",
    type=click.IntRange(min=1),
    default=DEFAULT_LIMITS.most_bytes,
    show_default=True,
    help="The most bytes that an archive may contain.",
)


@command.command(
    epilog="""\b
Examples:
  picturematch capture check monday
  picturematch capture check monday.tar.zst --json"""
)
@config_option
@click.argument("capture", type=click.Path(allow_dash=True, path_type=Path))
@_most_bytes
@click.option("--json", "as_json", is_flag=True, help="Print the contents as one JSON object.")
@click.pass_context
def check(ctx: click.Context, capture: Path, most_bytes: int, as_json: bool) -> None:
    """Read every byte of CAPTURE, a folder or an archive (-: standard input), and print what it contains.

    Damage is printed to standard error, with its file and line; the contents are then those up to the damage.

    Exit status: 0 the capture is whole, 1 it is damaged, 2 it is no capture or cannot be read.
    """
    with sentences(), opened_capture(capture, most_bytes) as folder:
        reader = CaptureReader(folder, keep_going=True)
        with progress("checking", None) as steps:
            contents = contents_of(folder, reader, steps.step)
        lines = list(_described(contents))
    if as_json:
        echo_json({**msgspec.to_builtins(contents), "damage": reader.damage})
    else:
        for line in lines:
            print_line(line)
    for sentence in reader.damage:
        click.echo(printable(sentence), err=True)
    ctx.exit(1 if reader.damage else 0)


@command.command("pack", epilog="Example: picturematch capture pack monday monday.tar.zst")
@config_option
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def pack_(folder: Path, file: Path) -> None:
    """Pack the capture in FOLDER into the new archive FILE (.tar.zst), which only you can read.

    The same capture gives the same bytes everywhere. A damaged capture is refused.
    """
    with sentences(), ended_by_signals():
        CaptureReader(folder)
        with progress("packing, MB", None) as steps:
            count = pack(folder, file, MegabyteSteps(steps))
    print_line(f"{counted(count, 'file')} in {file}")


@command.command("unpack", epilog="Example: picturematch capture unpack monday.tar.zst monday")
@config_option
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@_most_bytes
def unpack_(file: Path, folder: Path, most_bytes: int) -> None:
    """Unpack the archive FILE (-: standard input) into FOLDER, which is new or empty, and which only you can read."""
    with sentences(), ended_by_signals(), unpacking(file, most_bytes) as limits:
        count = unpack(file, folder, limits)
    print_line(f"{counted(count, 'file')} in {folder}")


def _described(contents: Contents) -> Iterator[str]:
    manifest = contents.manifest
    yield (
        f"capture of format version {manifest.version}, {'complete' if manifest.complete else 'not complete'}"
        f"{', with pseudonyms' if manifest.redacted else ''}"
    )
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in sorted(contents.outcomes.items()))
    yield (
        f"{counted(contents.requests, 'request')}{_span(contents)}: {contents.outcomes.total()} decided"
        f"{f' ({outcomes})' if outcomes else ''}, {contents.embeddings} with an embedding, "
        f"{contents.expectations} with an expected identity"
    )
    begin = "" if manifest.people_from is None else f", from gallery version {manifest.people_from} on"
    yield (
        f"{counted(contents.people, 'record')} of people{begin}: {counted(contents.faces, 'face')}, "
        f"{contents.photos} with a photo"
    )
    yield f"policies and model sets: {contents.configs}"
    yield f"{counted(contents.pictures, 'picture')}, {decimal(contents.picture_bytes)}"
    for model_set, looks in contents.looks.items():
        yield f"{counted(looks, 'look')} with the model set {model_set}"


def _span(contents: Contents) -> str:
    if contents.received is None:
        return ""
    first, last = (f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d %H:%M:%S}" for time in contents.received)
    return f", received from {first} to {last} UTC"
