"""Posts the requests of a capture to a server for `picturematch replay --url`, and prints what differs."""

from dataclasses import dataclass
from pathlib import Path

import click

from capture.reader import CaptureReader
from capture.replay import LineResult, Rate, ReplayTally, replay
from capture.rows import Difference
from clients.http import Client
from picturematch.options import UserError, ca_file
from picturematch.shell import Steps, echo_json, json_line, progress, run


@dataclass(frozen=True, slots=True)
class PostOptions:
    """The options of posting; capture.replay.replay explains them."""

    concurrency: int
    score_tolerance: float
    rate: Rate
    as_json: bool


def post_capture(ctx: click.Context, folder: Path, url: str, api_key: str | None, options: PostOptions) -> None:
    """Post the requests of a capture to a server, print which answers differ, and end the command.

    Exit status: 0 all are the same, 1 some differ, 2 the command failed, some requests could not be posted, or none
    could be compared.

    Raises:
        UserError: the capture cannot be read, or the server cannot be used.
    """
    as_json = options.as_json
    tally = ReplayTally()
    print_result = _print_json if as_json else _print_text

    trusted = ca_file()

    async def post() -> None:
        capture = CaptureReader(folder)
        async with Client(url, api_key=api_key, ca_file=trusted) as client:
            with progress("replaying", capture.count) as steps:

                def report(result: LineResult) -> None:
                    tally.add(result)
                    print_result(steps, result)
                    steps.step()

                await replay(
                    capture,
                    client,
                    report,
                    concurrency=options.concurrency,
                    score_tolerance=options.score_tolerance,
                    rate=options.rate,
                )

    try:
        run(post())
    except KeyboardInterrupt:
        _print_summary(tally, as_json)
        ctx.exit(130)  # neither "the same" nor "differs"
    except UserError:
        if tally.lines:
            _print_summary(tally, as_json)
        raise
    _print_summary(tally, as_json)
    ctx.exit(tally.exit_status)


def _print_json(steps: Steps, result: LineResult) -> None:
    if result.trouble is None and not result.differences:
        return
    fields: dict[str, object] = {"line": result.number, "request_id": result.request_id}
    if result.trouble is not None:
        fields["trouble"] = result.trouble
    else:
        fields["differences"] = [{"what": d.what, "then": d.then, "now": d.now} for d in result.differences or ()]
    steps.print_line(json_line(fields))


def _print_text(steps: Steps, result: LineResult) -> None:
    where = f"line {result.number} ({result.request_id})"
    if result.trouble is not None:
        steps.print_line(f"{where}: {result.trouble}", problem=True)
    elif result.differences:
        steps.print_line(f"{where}: {'; '.join(map(_described, result.differences))}")


def _described(difference: Difference) -> str:
    return f"{difference.what} was {_value(difference.then)}, is {_value(difference.now)}"


def _value(value: str | float | None) -> str:
    if value is None:
        return "none"
    return f"{value:.4f}" if isinstance(value, float) else f'"{value}"'


def _print_summary(tally: ReplayTally, as_json: bool) -> None:
    counts = {
        "same": tally.same,
        "different": tally.different,
        "not_compared": tally.not_compared,
        "could_not_run": tally.could_not_run,
    }
    if as_json:
        echo_json({"summary": counts})
    else:
        click.echo(", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items()))
