"""picturematch replay: decide the requests of a capture again, here or at a server, and report what differs."""

import gc
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import get_args

import click
from click.core import ParameterSource

from capture.accepting import Accepted, accepting
from capture.reader import CaptureReader
from capture.replaying.decision_file import decision_file, writing_decisions
from capture.replaying.run import Replay
from capture.replaying.whatif import WhatIf
from capture.rows import Row
from contract.terms import LEAST_RATE, LIVENESS_ORDER, LivenessMode, QualityLevel
from contract.text import printable
from picturematch.captures import opened_capture, sentences
from picturematch.option_groups import GroupedCommand
from picturematch.options import UserError, config_option
from picturematch.replay_means import means_of
from picturematch.replay_outputs import require_apart
from picturematch.replay_posting import POST_OPTIONS, PostOptions, post_capture, post_options
from picturematch.replay_report import REPORT_OPTIONS, PeopleNow, ReportOptions, report_options, reporting
from picturematch.shell import When, counted

_CHANGES = (
    "threshold",
    "target_fpir",
    "liveness_mode",
    "quality",
    "models",
    "gallery",
    "gallery_version",
    "gallery_time",
    "add_people",
)
_ONLY_HERE = (
    *_CHANGES,
    "look",
    "jobs",
    "keep_going",
    "decisions",
    "accept",
)
_NOT_ACCEPTED = (*_CHANGES, "keep_going")
_HEADINGS = {
    "What is replayed": ("jobs", "keep_going", "score_tolerance", "accept", "decisions"),
    "What if": (*_CHANGES, "look"),
    "Report": REPORT_OPTIONS,
    "To a server": ("url", *POST_OPTIONS, "ca_file"),
}
_CAPTURE = click.Path(path_type=Path)


@click.command(
    cls=GroupedCommand,
    groups=_HEADINGS,
    epilog="""\b
Examples:
  picturematch replay monday
  picturematch replay monday --threshold 0.42 --html monday.html
  picturematch replay monday --look --models new-networks.toml
  picturematch replay monday --url http://127.0.0.1:5555""",
)
@config_option
@click.argument("capture", type=_CAPTURE)
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Cosine from which on a person is recognised.",
)
@click.option(
    "--target-fpir", type=click.FloatRange(LEAST_RATE, 0.5), help="Target from which thresholds are computed."
)
@click.option(
    "--liveness-mode", type=click.Choice(LIVENESS_ORDER), help="At least this liveness mode for every request."
)
@click.option("--quality", type=click.Choice(get_args(QualityLevel)), help="Quality level of a match.")
@click.option("--look", is_flag=True, help="Look at every picture again, instead of using recorded embeddings.")
@click.option(
    "--models",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Manifest of other networks, which look at every picture.",
)
@click.option("--gallery", type=_CAPTURE, help="Capture whose people are searched instead.")
@click.option(
    "--gallery-version",
    type=click.IntRange(min=0),
    help="Search people, groups, devices and pass times as of this version.",
)
@click.option("--gallery-time", type=When(), help="The same as of this time: epoch seconds or ISO 8601.")
@click.option(
    "--add-people",
    type=click.Path(exists=True, path_type=Path),
    help="Folder or list of further people (as for `picturematch enrol`), who are enrolled first.",
)
@click.option("--jobs", type=click.IntRange(1, 256), show_default="all cores", help="Processes and threads.")
@click.option(
    "--decisions", type=click.Path(dir_okay=False, path_type=Path), help="Write every decision as JSON lines."
)
@click.option("--accept", is_flag=True, help="Write the decisions that differ into the capture, as those of then.")
@click.option("--keep-going", is_flag=True, help="Read a damaged capture up to the damage.")
@click.option(
    "--score-tolerance",
    type=click.FloatRange(min=0),
    default=1e-3,
    show_default=True,
    help="Scores that differ by at most this are the same: on the raw scale; on the percent scale a hundred times it.",
)
@click.option("--url", help="Post the requests to this server instead of deciding them here.")
@post_options
@report_options
@click.pass_context
def command(
    ctx: click.Context,
    capture: Path,
    threshold: float | None,
    target_fpir: float | None,
    liveness_mode: LivenessMode | None,
    quality: QualityLevel | None,
    look: bool,
    models: Path | None,
    gallery: Path | None,
    gallery_version: int | None,
    gallery_time: float | None,
    add_people: Path | None,
    jobs: int | None,
    decisions: Path | None,
    accept: bool,
    keep_going: bool,
    score_tolerance: float,
    url: str | None,
    posting: PostOptions,
    report: ReportOptions,
) -> None:
    """Decide the requests of a capture again and report which decisions differ.

    Decisions are made from the recorded embeddings, without any neural network, as long as nothing about the pictures
    changes; else the pictures are looked at again. Without a what-if option, 0 recorded decisions differ; a capture
    that was made from pictures has none, and is compared with the people that it expects. With --url a running server
    decides.

    Exit status: 0 all are as recorded or expected, 1 some differ, 2 the command failed, some requests could not be
    decided, or none could be compared.
    """
    outputs = {"--decisions": decisions, "--html": report.html, "--junit": report.junit}
    require_apart(outputs, (capture, gallery, add_people, models, report.truth))
    if url is not None:
        _refuse(ctx, _ONLY_HERE, "cannot be used with --url: the server decides with its own settings")
        ctx.exit(post_capture(capture, url, posting, score_tolerance, report))
    _refuse(ctx, POST_OPTIONS, "can only be used with --url")
    if threshold is not None and target_fpir is not None:
        raise UserError("--threshold and --target-fpir exclude each other: each says how the threshold is found")
    if gallery_version is not None and gallery_time is not None:
        raise UserError("--gallery-version and --gallery-time exclude each other: each chooses the people")
    what_if = WhatIf(
        threshold=threshold,
        target_fpir=target_fpir,
        liveness_mode=liveness_mode,
        quality=quality,
        look=look,
        models=models,
        gallery=gallery,
        gallery_version=gallery_version,
        gallery_time=gallery_time,
        add_people=add_people,
    )
    if accept:
        _refuse(
            ctx, _NOT_ACCEPTED, "cannot be used with --accept: what is accepted are decisions without what-if options"
        )
    ctx.exit(_replay_here(ctx, capture, what_if, jobs, keep_going, score_tolerance, decisions, report, accept=accept))


def _refuse(ctx: click.Context, names: tuple[str, ...], reason: str) -> None:
    """Refuse options that were given and have no effect.

    Raises:
        UserError: one was given.
    """
    for name in names:
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise UserError(f"--{name.replace('_', '-')} {reason}")


def _replay_here(
    ctx: click.Context,
    capture: Path,
    what_if: WhatIf,
    jobs: int | None,
    keep_going: bool,
    score_tolerance: float,
    decisions: Path | None,
    report: ReportOptions,
    *,
    accept: bool,
) -> int:
    """Replay a capture in this process and return the exit status.

    Raises:
        UserError: something cannot be used; the message is a sentence for the user.
    """
    means, accepted = means_of(ctx, what_if, jobs), Accepted()
    # A replay makes very many values, and few of them refer to each other: looking for such cycles costs a third where
    # every row is reported alone.
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    with sentences(), ExitStack() as stack:
        reader = CaptureReader(stack.enter_context(opened_capture(capture)), keep_going=keep_going, check=False)
        other = None
        if what_if.gallery is not None:
            other = CaptureReader(stack.enter_context(opened_capture(what_if.gallery)))
        replay = Replay(reader, what_if, means, score_tolerance, other)
        rows: Iterator[Row] | None = None
        if decisions is not None:
            rows = writing_decisions(replay.rows(), stack.enter_context(decision_file(decisions)))
        if accept:
            rows = stack.enter_context(closing(accepting(capture, rows or replay.rows(), accepted)))
        for note in replay.notes:
            click.echo(printable(note), err=True)
        now = PeopleNow(replay.searched, other or reader, what_if.add_people)
        with reporting(report, reader, capture.name, now) as run:
            for row in rows or replay.summed_rows(run.summing):
                run.add(row)
        for sentence in reader.damage:
            click.echo(printable(sentence), err=True)
    if accept:
        click.echo(f"{counted(accepted.decisions, 'decision')} of {printable(str(capture))} replaced", err=True)
        return 0
    return 2 if reader.damage else run.exit_status
