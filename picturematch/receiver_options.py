"""The options of commands that deliver chosen events to one receiver, which may open a door."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click
import msgspec

from contract.terms import LIVENESS_ORDER
from picturematch.options import UserError
from picturematch.shell import Span
from sinks.acting import Acting

F = TypeVar("F", bound=Callable[..., Any])
S = TypeVar("S")

_WANTED = ("kinds", "outcomes", "devices")
_ACTING = {"valid": "valid_s", "margin": "margin", "liveness": "liveness"}
"""Option -> field of `sinks.acting.Acting`."""
_WORDS = {
    "name": "--name must be lower-case letters, digits and hyphens, at most 40, and must not begin with a hyphen",
    "timeout_s": "--timeout must be above 0 and at most 10 minutes",
    "acting.valid_s": "--valid must be above 0 and at most a minute",
    "acting.margin": "--margin must be from 0 to 1",
}
"""What is wrong with an option of `receiver_options`, by the field of the settings."""


def receiver_options(function: F) -> F:
    """The options by which events are chosen, and those of a receiver that acts."""
    default = Acting()
    for option in reversed(
        (
            click.option("--timeout", type=Span(), default="5s", show_default=True, help="Longest time of one try."),
            click.option(
                "--kind", "kinds", multiple=True, help="Pass on events of this kind only (match, compare, enrol, ...)."
            ),
            click.option(
                "--outcome", "outcomes", multiple=True, help="Pass on events with this outcome only (matched, ...)."
            ),
            click.option(
                "--device", "devices", multiple=True, help="Pass on events of the device at this address only."
            ),
            click.option("--from-first", is_flag=True, help="Let a new sink begin with the first event of the log."),
            click.option(
                "--acts", is_flag=True, help="The receiver opens a door: matched people only, at most once, never late."
            ),
            click.option(
                "--valid",
                type=Span(),
                show_default=f"{default.valid_s:g}s",
                help="With --acts: how old a passage may be.",
            ),
            click.option(
                "--margin",
                type=float,
                show_default=f"{default.margin:g}",
                help="With --acts: cosine above the threshold.",
            ),
            click.option(
                "--liveness",
                type=click.Choice(LIVENESS_ORDER),
                show_default=default.liveness,
                help="With --acts: the least liveness mode that the face must have passed.",
            ),
        )
    ):
        function = option(function)
    return function


def settings_of_receiver(given: Mapping[str, Any], kind: type[S], words: Mapping[str, str]) -> S:
    """Return the settings of a sink from the values of its options.

    Args:
        given: Option -> value: those of `receiver_options`, and others that are named like their fields.
        kind: The class of the settings.
        words: What is wrong with an option of the kind, by the field of the settings.

    Raises:
        UserError: an option has a value that no sink may have, or says how a receiver acts that does not act.
    """
    acting = {field: given[option] for option, field in _ACTING.items() if given[option] is not None}
    if acting and not given["acts"]:
        named = ", ".join(f"--{option}" for option in _ACTING if given[option] is not None)
        raise UserError(f"{named} is for a receiver that opens a door: add --acts, or leave it out")
    fields = {name: value for name, value in given.items() if name not in (*_WANTED, *_ACTING, "from_first", "timeout")}
    table = {
        **fields,
        "from_now": not given["from_first"],
        "timeout_s": given["timeout"],
        "wanted": {name: given[name] for name in _WANTED},
        "acting": acting,
    }
    try:
        return msgspec.convert(table, kind, dec_hook=lambda _, value: value)
    except msgspec.ValidationError as error:
        place = str(error).partition("$.")[2].rstrip("`")
        known = {**_WORDS, **words}
        raise UserError(known.get(place.partition("[")[0], f"an option has a wrong value: {error}")) from None
