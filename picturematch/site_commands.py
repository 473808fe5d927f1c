"""What the commands about people, groups, permissions and devices share: the call, options, tables and JSON lines."""

import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import click
import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from clients.http import Client
from clients.site import Fields, SiteCalls
from contract.terms import (
    PERSON_BLACKLIST,
    PERSON_EMPLOYEE,
    PERSON_STRANGER,
    PERSON_VIP,
    PERSON_VISITOR,
)
from contract.text import printable
from contract.when import parse_when
from picturematch.options import ca_file
from picturematch.shell import echo_json, run

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

PERSON_TYPES: Mapping[str, int] = {
    "employee": PERSON_EMPLOYEE,
    "visitor": PERSON_VISITOR,
    "blacklist": PERSON_BLACKLIST,
    "stranger": PERSON_STRANGER,
    "vip": PERSON_VIP,
}

json_option = click.option(
    "--json", "as_json", is_flag=True, help="One JSON object per line, as also where the output is no terminal."
)


def with_site(url: str, api_key: str | None, work: Callable[[SiteCalls], Awaitable[T]]) -> T:
    """Run `work` with the calls of the server at `url`; an error becomes one sentence and exit status 2."""

    async def entered() -> T:
        async with Client(url, api_key=api_key, ca_file=ca_file()) as client:
            return await work(SiteCalls(client))

    return run(entered())


def wants_json(as_json: bool) -> bool:
    """Return whether to print JSON lines: the user asked for them, or the output is no terminal."""
    return as_json or not sys.stdout.isatty()


def show(rows: Sequence[Fields], columns: Mapping[str, Callable[[Fields], str]], as_json: bool) -> None:
    """Print objects of the server: as JSON lines, or as a table. `columns`: title -> the text of a cell."""
    if wants_json(as_json):
        for row in rows:
            echo_json(row)
        return
    table = Table(box=None, pad_edge=False)
    for title in columns:
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell(row))) for cell in columns.values()))
    Console().print(table)


def show_changed(sentence: str, answer: Any, as_json: bool) -> None:
    """Print the result of a change: the server's answer as a line of JSON, or a sentence."""
    if wants_json(as_json):
        echo_json(answer)
    else:
        click.echo(printable(sentence))


def people_counted(count: int) -> str:
    """Return a number of people: 1 person, 2 people."""
    return f"{count} {'person' if count == 1 else 'people'}"


class Moment(click.ParamType[float]):
    """An option's absolute point in time, as epoch seconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return epoch seconds from the text of an option."""
        try:
            return value if isinstance(value, float) else parse_when(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Info(click.ParamType[tuple[str, Any]]):
    """An option's KEY=VALUE, or KEY:=JSON."""

    name = "info"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, Any]:
        """Return the key and the value: the text itself, or the JSON value that the text after := describes."""
        if isinstance(value, tuple):
            return value[0], value[1]
        key, equals, text = value.partition("=")
        is_json = key.endswith(":")
        if not equals or not key.removesuffix(":"):
            self.fail("write KEY=TEXT, or KEY:=JSON", param, ctx)
        try:
            return key.removesuffix(":"), orjson.loads(text) if is_json else text
        except orjson.JSONDecodeError:
            self.fail(f"the value of {key.removesuffix(':')} is not JSON; write KEY=TEXT for a text", param, ctx)


def info_option(function: F) -> F:
    """--info KEY=VALUE, several times: further members of the object's info."""
    return click.option(
        "--info",
        "info",
        type=Info(),
        multiple=True,
        metavar="KEY=VALUE",
        help="A further value, as text; KEY:=JSON gives a number, list or object. May be given several times.",
    )(function)


def info_of(given: Sequence[tuple[str, Any]], **values: Any) -> dict[str, Any] | None:
    """Return the info to send: the given members and those of `values` that are not None; None: nothing was given."""
    return {**dict(given), **{name: value for name, value in values.items() if value is not None}} or None
