"""Posts the requests of a capture to a server for `picturematch replay --url`, and reports what differs."""

from collections.abc import Callable
from contextlib import ExitStack, aclosing
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, Literal, TypeVar, cast, get_args

import click

from capture.posted import Scale
from capture.posting import Poster, Posting
from capture.reader import CaptureReader
from clients.http import Client
from picturematch.captures import opened_capture, sentences
from picturematch.options import UserError, ca_file, key_options
from picturematch.replay_report import ReportOptions, reporting
from picturematch.shell import Span, counted, run

F = TypeVar("F", bound=Callable[..., Any])
Rate = Literal["max", "as-recorded"]


@dataclass(frozen=True, slots=True)
class PostOptions:
    """The options of posting."""

    api_key: str | None = None
    concurrency: int = 4
    rate: Rate = "max"
    speed: float | None = None
    deadline: float = 3.0
    no_replay_header: bool = False
    scale: Scale | None = None

    def posting(self, score_tolerance: float) -> Posting:
        """Return how a capture is posted.

        Raises:
            UserError: two options contradict each other.
        """
        if self.speed is not None and self.rate == "as-recorded" and self.speed != 1:
            raise UserError("--rate as-recorded and --speed exclude each other: the recorded pace is --speed 1")
        speed = 1.0 if self.rate == "as-recorded" else self.speed
        header = not self.no_replay_header
        return Posting(self.concurrency, speed, self.deadline, header, self.scale, score_tolerance)


POST_OPTIONS = tuple(PostOptions.__dataclass_fields__)
"""The names of the options of posting."""


def post_options(function: F) -> F:
    """The options of posting, which the command gets as the argument `posting`, a `PostOptions`."""

    @key_options
    @click.option("--concurrency", type=click.IntRange(1, 256), default=4, show_default=True, help="Calls at a time.")
    @click.option(
        "--rate",
        type=click.Choice(get_args(Rate)),
        default="max",
        show_default=True,
        help="As fast as possible, or with the recorded times between the requests.",
    )
    @click.option(
        "--speed",
        type=click.FloatRange(0, 10_000, min_open=True),
        help="So many times faster than recorded; 1 is the recorded pace.",
    )
    @click.option(
        "--deadline",
        type=Span(),
        default="3s",
        show_default=True,
        help="With a pace: a request that is late by more is not sent.",
    )
    @click.option("--no-replay-header", is_flag=True, help="Send no X-Replay-Of, which another server may refuse.")
    @click.option(
        "--scale",
        type=click.Choice(get_args(Scale)),
        show_default="as recorded; percent where a score is above 1",
        help="The scale of the server's scores.",
    )
    @wraps(function)
    def with_posting(*arguments: Any, **options: Any) -> Any:
        posting = PostOptions(**{name: options.pop(name) for name in POST_OPTIONS})
        return function(*arguments, posting=posting, **options)

    return cast("F", with_posting)


def post_capture(capture: Path, url: str, options: PostOptions, score_tolerance: float, report: ReportOptions) -> int:
    """Post the requests of a capture to a server, report which answers differ, and return the exit status.

    Raises:
        UserError: the capture cannot be read, or the server cannot be used.
    """
    posting, trusted = options.posting(score_tolerance), ca_file()
    with ExitStack() as stack:
        with sentences():
            reader = CaptureReader(stack.enter_context(opened_capture(capture)))

        async def post() -> Poster:
            async with Client(url, api_key=options.api_key, ca_file=trusted) as client:
                poster = Poster(reader, client, posting)
                async with aclosing(poster.rows()) as rows:
                    async for row in rows:
                        reported.add(row)
                return poster

        with reporting(report, reader, capture.name) as reported:
            poster = run(post())
    _note(poster)
    return reported.exit_status


def _note(poster: Poster) -> None:
    if poster.late:
        click.echo(f"{counted(poster.late, 'request')} not sent: the server is too slow for this pace", err=True)
    if poster.skipped:
        click.echo(
            f"{counted(poster.skipped, 'request')} skipped: the server has no search of version 6",
            err=True,
        )
