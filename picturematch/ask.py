"""One call of a picture, from the command line to a running server: `match`, `compare` and `fiqa` share it."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
import pybase64

from clients.http import ask
from clients.picture_file import UnusablePicture, read_picture, read_picture_from
from contract.text import printable
from picturematch.options import UserError, ca_file
from picturematch.shell import echo_json, run

T = TypeVar("T")

STANDARD_INPUT = "-"

picture_file = click.Path(allow_dash=True)
"""A picture on the command line: a file, or - for standard input."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print the server's answer as one line of JSON.")


def encoded(*files: str) -> list[str]:
    """The content of each `picture_file` as base64.

    Raises:
        UserError: a file cannot be read or is too large, or two are to come from standard input.
    """
    if files.count(STANDARD_INPUT) > 1:
        raise UserError("only one of the pictures can come from standard input; give the others as files")
    return [pybase64.b64encode_as_string(_content(file)) for file in files]


def _content(file: str) -> bytes:
    try:
        return read_picture_from(sys.stdin.buffer) if file == STANDARD_INPUT else read_picture(Path(file))
    except UnusablePicture as error:
        raise UserError(f"{file}: {error}") from error
    except OSError as error:
        raise UserError(f"{file}: {error.strerror or error}") from error


def answer_of(call: str, body: Mapping[str, Any], shape: type[T], url: str, api_key: str | None, as_json: bool) -> T:
    """The success of the call; `as_json` prints whatever the server answers. Fields of `body` that are None are left
    out.

    Raises:
        UserError: the answer is an error or not of that shape, or there is none.
    """
    given = {name: value for name, value in body.items() if value is not None}
    answer = run(ask(url, api_key, call, given, ca_file=ca_file()))
    if as_json:
        echo_json(answer.fields)
    if answer.http_status != 200:
        raise UserError(answer.error_text)
    try:
        return msgspec.convert(answer.fields, shape)
    except msgspec.ValidationError as error:
        raise UserError(f"{url} did not answer as a PictureMatch server does ({error}); check the URL") from error


def finish(ctx: click.Context, lines: list[str], *, is_yes: bool, as_json: bool) -> None:
    """Print the answer in words, unless it was printed as JSON, and exit: 0 the answer is yes, 1 it is no."""
    if not as_json:
        for line in lines:
            click.echo(printable(line))
    ctx.exit(0 if is_yes else 1)
