"""One call of a picture, from the command line to a running server: `match`, `compare` and `fiqa` share it."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
import pybase64

from clients.errors import CannotRun
from clients.http import Client, NoAnswer, ServerAnswer
from clients.photo_file import MAX_PICTURE_BYTES, UnusablePhoto, read_photo
from contract.text import printable
from picturematch.shell import echo_json, run

_STDIN = Path("-")

YES, NO, FAILED = 0, 1, 2
"""Exit statuses: the answer is yes, the answer is no, there is no answer."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print the server's answer as one line of JSON.")


def picture_argument(name: str) -> Callable[[Any], Any]:
    """A picture file; - is standard input."""
    return click.argument(name, type=click.Path(path_type=Path, allow_dash=True))


def encoded(file: Path) -> str:
    """The file as base64.

    Raises:
        CannotRun: the file cannot be read, or is too large.
    """
    try:
        if file == _STDIN:
            data = sys.stdin.buffer.read(MAX_PICTURE_BYTES + 1)
            if len(data) > MAX_PICTURE_BYTES:
                raise UnusablePhoto(f"the picture is larger than {MAX_PICTURE_BYTES} bytes")
        else:
            data = read_photo(file)
    except UnusablePhoto as error:
        raise CannotRun(f"{file}: {error}") from error
    return pybase64.b64encode(data).decode()


def ask(
    url: str,
    api_key: str | None,
    call: str,
    body: Callable[[], Mapping[str, Any]],
    *,
    as_json: bool,
    lines: Callable[[Mapping[str, Any]], list[str]],
    is_yes: Callable[[Mapping[str, Any]], bool],
) -> int:
    """Make the call and print the answer; returns the exit status.

    `lines` makes the readable form of a success, `is_yes` its exit status. An error of the server is one line on
    standard error.

    Raises:
        UserError: a file or the server cannot be used.
    """

    async def work() -> ServerAnswer:
        async with Client(url, api_key=api_key) as client:
            try:
                return await client.post(call, body())
            except NoAnswer as error:
                raise CannotRun(f"{error}; is the server running, and is --url right?") from error

    answer = run(work())
    if as_json:
        echo_json(answer.fields)
    if answer.http_status != 200:
        if not as_json:
            click.echo(printable(answer.error_text), err=True)
        return FAILED
    if not as_json:
        for line in lines(answer.fields):
            click.echo(printable(line))
    return YES if is_yes(answer.fields) else NO
