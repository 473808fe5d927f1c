"""picturematch explain: why one decision came out as it did, and what would have changed it."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from contract.text import printable
from picturematch.opening import open_broker
from picturematch.options import UserError, config_option, log_options, settings_of
from picturematch.settings import Settings
from picturematch.shell import When, echo_json, progress, run

if TYPE_CHECKING:
    from capture.explaining.log import Engine
    from capture.explaining.values import Explanation

_CAPTURE = click.Path(path_type=Path)


@click.command(
    epilog="""\b
Examples:
  picturematch explain 018f9f6e-5d0e-7f4c-9a63-8c6f4f2b7d10
  picturematch explain 018f9f6e-5d0e-7f4c-9a63-8c6f4f2b7d10 --since 1d --json | jq .flips
  picturematch explain 018f9f6e-5d0e-7f4c-9a63-8c6f4f2b7d10 --capture monday"""
)
@config_option
@click.argument("event_id", metavar="EVENT_ID")
@log_options
@click.option(
    "--since",
    type=When(),
    help="Search only events from this time on: epoch seconds, ISO 8601, or 10m, 2h, 1d ago.",
)
@click.option("--capture", type=_CAPTURE, help="Explain a request of this capture instead, by its id.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_context
def command(
    ctx: click.Context,
    event_id: str,
    broker: str | None,
    data_folder: Path | None,
    since: float | None,
    capture: Path | None,
    as_json: bool,
) -> None:
    """Explain one decision: what was seen, each check with its value and limit, the nearest people, and which single
    changes would have led to another outcome.

    The decision is made again, from the log beside the running server, with the picture, the people and the settings of
    then; it leaves no event. What is gone is named, with the time since when. Changes are tried by deciding with them.

    Exit status: 0 explained, 1 the decision comes out differently than it was recorded, 2 the command failed.
    """
    settings = settings_of(ctx, broker=broker, data_folder=data_folder)
    if capture is None:
        explanation = run(_of_event(settings, event_id, since))
    elif since is not None:
        raise click.UsageError("--since cannot be used with --capture")
    else:
        explanation = _of_capture(settings, event_id, capture)
    from picturematch.explanation_text import as_builtins, print_explanation  # --help needs no tables

    if as_json:
        echo_json(as_builtins(explanation))
    else:
        print_explanation(explanation)
    ctx.exit(1 if explanation.alarms else 0)


async def _of_event(settings: Settings, event_id: str, since_s: float | None) -> "Explanation":
    """Explain an event of the log.

    Raises:
        UserError: the log has no such event.
        BrokerError: the log cannot be read.
    """
    from capture.explaining.finding import find_event
    from capture.explaining.left import Kept
    from capture.explaining.log import other_then_of, then_of
    from capture.explaining.matches import explain_match
    from capture.explaining.others import explain_other
    from capture.explaining.redoing import REDONE
    from capture.explaining.values import OtherThen
    from contract.kinds import kind_of
    from contract.requests import MatchRequest

    async with open_broker(settings, "guest") as log:
        with progress("looking at events", None) as steps:
            found = await find_event(log, settings.topics.events, event_id, since_s, steps.step)
        if found is None:
            where = "" if since_s is None else ", or it is older than --since"
            raise UserError(f"the log has no event with the id {event_id}: it may be of another log{where}")
        kept = Kept(settings.log.requests_retention_ms, settings.log.history_ms, time.time())
        if found.event.kind == kind_of(MatchRequest):
            return explain_match(await then_of(log, settings.topics, found, kept, _engine(settings)))
        if found.event.kind not in REDONE:
            return explain_other(OtherThen(found.event))
        return explain_other(await other_then_of(log, settings.topics, found, kept, _engine(settings)))


def _of_capture(settings: Settings, request_id: str, capture: Path) -> "Explanation":
    """Explain a request of a capture.

    Raises:
        UserError: the capture has no such request, or is damaged.
    """
    from capture.explaining.captured import then_in
    from capture.explaining.matches import explain_match
    from capture.reader import CaptureReader
    from picturematch.captures import opened_capture, sentences

    with sentences(), opened_capture(capture) as folder:
        then = then_in(CaptureReader(folder), request_id, _engine(settings))
    if then is None:
        raise UserError(f"the capture {capture} has no request with the id {request_id}")
    return explain_match(then)


def _engine(settings: Settings) -> "Engine":
    from capture.explaining.log import Engine
    from models.errors import ModelError
    from picturematch.wiring import open_models

    try:
        return Engine(open_models(settings), "", settings.pictures.max_pixels)
    except ModelError as error:
        return Engine(None, printable(str(error)), settings.pictures.max_pixels)
