"""picturematch people reembed: embed the photos of everybody with another embedder, compare, and prepare the switch."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from contract.text import printable
from picturematch.option_groups import GroupedCommand
from picturematch.options import (
    ca_file,
    config_option,
    log_options,
    server_options,
    settings_of,
    yes_option,
)
from picturematch.settings import Settings
from picturematch.shell import When, counted, echo_json, ended_by_signals, run
from picturematch.site_commands import people_counted

if TYPE_CHECKING:
    from picturematch.reembed_run import Done
    from picturematch.reembedding import LeftBehind

_COMPARED = 500
_NICENESS = 10
_HEADINGS = {
    "What is done": ("models", "dry_run", "left_behind", "drop_old", "yes"),
    "Pace": ("jobs", "rate"),
    "Comparison": ("compare", "since", "html"),
    "Server and log": ("url", "api_key", "ca_file", "broker", "data_folder"),
}


@dataclass(frozen=True, slots=True)
class _Server:
    """Where the changes are made: the URL of the server, and the key that it asks for."""

    url: str
    api_key: str | None


@click.command(
    cls=GroupedCommand,
    groups=_HEADINGS,
    epilog="""\b
Examples:
  picturematch people reembed --models sface --dry-run
  picturematch people reembed --models sface --html report.html
  picturematch people reembed --models own.toml --left-behind
  picturematch people reembed --drop-old""",
)
@config_option
@click.option(
    "--models",
    metavar="NAME|FILE",
    show_default="the networks that the settings name",
    help="The new embedder: a pinned one of `models embedders`, or a manifest.",
)
@click.option("--dry-run", is_flag=True, help="Count the faces to embed or to complete, and change nothing.")
@click.option("--left-behind", is_flag=True, help="List the faces that the embedder has no record of and cannot get.")
@click.option(
    "--drop-old",
    is_flag=True,
    help="After the switch: remove the records of former embedders from faces that have one of the embedder in use.",
)
@yes_option
@click.option(
    "--jobs", type=click.IntRange(1, 256), default=1, show_default=True, help="Threads that embed or look at photos."
)
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="The most faces to embed per second.")
@click.option(
    "--compare",
    type=click.IntRange(min=0),
    default=_COMPARED,
    show_default=True,
    help="Decide about this many recent requests again with the new embedder, and report what differs; 0: none.",
)
@click.option("--since", type=When(), help="Decide the requests since this time again, instead of a number of them.")
@click.option(
    "--html", type=click.Path(dir_okay=False, path_type=Path), help="Write the report of the comparison as HTML too."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@server_options
@log_options
@click.pass_context
def reembed(
    ctx: click.Context,
    models: str | None,
    dry_run: bool,
    left_behind: bool,
    drop_old: bool,
    yes: bool,
    jobs: int,
    rate: float | None,
    compare: int,
    since: float | None,
    html: Path | None,
    as_json: bool,
    url: str,
    api_key: str | None,
    broker: str | None,
    data_folder: Path | None,
) -> None:
    """Embed the stored photos of everybody with another embedder, while the server goes on with its own one.

    The photos are read from the log, embedded by this process with low priority, and written by the running server
    beside the present embeddings. A run that was interrupted is continued by running it again. People who are enrolled
    meanwhile are embedded too. Then recent requests are decided with the new embedder, and what would change is
    reported by kind; and the command says which setting switches the server.

    With the embedder in use (no --models), faces that have no templates of covered faces get them, where the manifest
    has covered_curves and matching.covered_templates is on. Their embeddings stay as they are.

    Faces that were enrolled by a feature, without a photo, cannot be embedded, nor can those whose photo shows no face
    to the networks: the end of a run names each with its reason. --left-behind lists them at any time: it looks at the
    photos of all faces that are not embedded yet, which are few after a run.

    The photos are embedded with the settings matching.face and matching.covered_templates of this command, and the
    server refuses embeddings that were made with other settings than its own.

    Exit status: 0 every face is embedded, 1 some faces are left behind, 2 the command failed. With --drop-old, 0 no
    face has records of former embedders any more, 1 some faces keep them because the embedder in use has no record of
    these faces. With --left-behind, 1 if any face is listed. With --dry-run, always 0 unless the command failed.
    """
    if dry_run + left_behind + drop_old > 1:
        raise click.UsageError("--dry-run, --left-behind and --drop-old exclude each other")
    settings = _settings(ctx, models, broker, data_folder)
    server = _Server(url, api_key)
    if dry_run:
        ctx.exit(_plan(settings, as_json))
    if left_behind:
        ctx.exit(_left_behind(settings, jobs, as_json))
    if drop_old:
        ctx.exit(_drop(settings, server, as_json, yes=yes))
    ctx.exit(_reembed(settings, server, jobs, rate, None if compare == 0 else (compare, since), html, as_json, models))


def _settings(ctx: click.Context, models: str | None, broker: str | None, data_folder: Path | None) -> Settings:
    from picturematch.networks import manifest_of  # so that --help does not import the networks

    given = {"broker": broker, "data_folder": data_folder}
    settings = settings_of(ctx, **given)
    if models is None:
        return settings
    return settings_of(ctx, **given, models__manifest=manifest_of(settings, models))


def _plan(settings: Settings, as_json: bool) -> int:
    """Print how many faces are to be embedded and to be completed; return the exit status."""
    from picturematch.opening import open_broker
    from picturematch.reading import embedder_in_use, has_covers
    from picturematch.reembedding import EnrolledPeople

    async def work() -> int:
        embedder = embedder_in_use(settings)
        async with open_broker(settings, "guest") as log, EnrolledPeople(log, settings.topics, embedder) as people:
            missing = people.missing()
            with_photo = sum(face.photo is not None for face in missing)
            without = len(missing) - with_photo
            complete = len(people.uncovered()) if has_covers(settings) else 0
        if as_json:
            plan = {"embedder": embedder, "to_embed": with_photo, "to_complete": complete}
            echo_json({**plan, "without_photo": without})
        else:
            click.echo(f"{counted(with_photo, 'face')} to embed by {embedder}; {without} without a photo")
            if complete:
                click.echo(f"{counted(complete, 'further face')} without templates of covered faces")
        return 0

    return run(work())


def _left_behind(settings: Settings, jobs: int, as_json: bool) -> int:
    """Print each face that is left behind, with its reason; return the exit status."""
    from picturematch.captures import sentences
    from picturematch.left_behind import Left, find_left_behind
    from picturematch.networks import install_missing
    from picturematch.opening import open_broker
    from picturematch.reembed_comparing import be_nice
    from picturematch.reembed_run import context_of
    from picturematch.reembedding import EnrolledPeople
    from picturematch.wiring import open_models

    be_nice(_NICENESS)
    if settings.models.stand_in is None:
        install_missing(settings)
    models = open_models(settings)

    async def work() -> Left:
        async with (
            open_broker(settings, "guest") as log,
            EnrolledPeople(log, settings.topics, models.embedder_identity) as people,
        ):
            return await find_left_behind(people, context_of(settings, models), jobs)

    with sentences(), ended_by_signals():
        left = run(work())
    for face in left.faces:
        if as_json:
            echo_json({"identity_id": face.identity_id, "number": face.number, "reason": face.reason})
        else:
            click.echo(_in_words(face))
    if left.waiting:
        click.echo(
            f"{counted(left.waiting, 'further face')} not embedded yet: run this without --left-behind", err=True
        )
    return 1 if left.faces else 0


def _drop(settings: Settings, server: _Server, as_json: bool, *, yes: bool) -> int:
    """Remove the records of former embedders; return the exit status."""
    from clients.http import Client
    from picturematch.opening import open_broker
    from picturematch.reading import embedder_in_use
    from picturematch.reembedding import EnrolledPeople, remove_others

    async def work() -> tuple[int, int]:
        embedder = embedder_in_use(settings)
        async with (
            open_broker(settings, "guest") as log,
            EnrolledPeople(log, settings.topics, embedder) as people,
            Client(server.url, api_key=server.api_key, ca_file=ca_file()) as client,
        ):
            faces = people.others()
            if faces and not yes:
                question = f"Remove the embeddings of former embedders of {counted(len(faces), 'face')}?"
                click.confirm(question, abort=True, err=True)
            removed = await remove_others(people, client)
            await people.catch_up()
            return removed, len(people.missing())

    removed, kept = run(work())
    if as_json:
        echo_json({"removed": removed, "kept": kept})
    else:
        click.echo(f"removed the records of former embedders of {counted(removed, 'face')}")
        if kept:
            click.echo(f"kept those of {counted(kept, 'face')}, of which the embedder in use has no record")
    return 1 if kept else 0


def _reembed(
    settings: Settings,
    server: _Server,
    jobs: int,
    rate: float | None,
    compared: tuple[int, float | None] | None,
    html: Path | None,
    as_json: bool,
    named: str | None,
) -> int:
    """Embed everybody, compare, and print how to switch; return the exit status."""
    from picturematch.captures import sentences
    from picturematch.networks import install_missing, require_calibrated
    from picturematch.reembed_comparing import Recent, be_nice, compare, recorded_folder
    from picturematch.reembed_run import Means, embed_all
    from picturematch.replay_report import ReportOptions
    from picturematch.wiring import open_models

    be_nice(_NICENESS)
    if settings.models.stand_in is None:
        install_missing(settings)
    models = open_models(settings)
    require_calibrated(models, settings.matching)
    means = Means(settings, models, server.url, server.api_key, jobs, rate)
    with sentences(), ended_by_signals(), recorded_folder() as folder:
        recent = None if compared is None else Recent(*compared)
        done = run(embed_all(means, recent, folder))
        if done.recorded:
            compare(folder, settings, models, jobs, ReportOptions(as_json=as_json, html=html))
        elif recent is not None:
            click.echo("no recent request to compare", err=True)
    if done.recorded:
        done = done.and_then(run(embed_all(means, None, folder)))  # those who were enrolled during the comparison
    if as_json:
        echo_json(done.as_fields(models.embedder_identity))
    else:
        _print_end(settings, done, named)
    return 1 if done.left else 0


def _in_words(face: "LeftBehind") -> str:
    return printable(f"{face.identity_id}, face {face.number}: {face.reason}")


def _print_end(settings: Settings, done: "Done", named: str | None) -> None:
    option = "" if named is None else f" --models {named}"
    click.echo(
        f"every face with a usable photo is embedded: {counted(done.added, 'face')} in this run,"
        f" {done.passes} {'pass' if done.passes == 1 else 'passes'} over the people"
    )
    if done.completed:
        click.echo(f"templates of covered faces were added to {counted(done.completed, 'face')} that had none")
    if done.left:
        people = people_counted(len(done.nowhere))
        click.echo(f"{counted(len(done.left), 'face')} left behind, and {people} who could not be recognised:")
        for face in done.left:
            click.echo(_in_words(face))
    if settings.models.manifest is not None:
        click.echo(printable(f'to switch, set models.manifest = "{settings.models.manifest}" for every processor,'))
        click.echo(f"restart it, and run `picturematch people reembed{option}` once more for those enrolled meanwhile")
