"""picturematch people lookalikes: pairs of enrolled people whose faces are too similar."""

from pathlib import Path

import click
import msgspec
from msgspec import structs

from contract.terms import LEAST_RATE
from contract.text import printable
from picturematch.options import UserError, config_option, log_options, pinned_by, settings_of
from picturematch.shell import counted, echo_json, progress, run
from picturematch.site_commands import people_counted


@click.command(
    epilog="""\b
Examples:
  picturematch people lookalikes
  picturematch people lookalikes --above 0.6 --format json | jq -r '.identity_ids | @tsv'"""
)
@config_option
@log_options
@click.option(
    "--above",
    type=click.FloatRange(0.0, 1.0),
    metavar="COSINE",
    show_default="the threshold of a search among everybody",
    help="The least cosine of two people who are too similar.",
)
@click.option(
    "--target-fpir",
    type=click.FloatRange(LEAST_RATE, 0.5),
    show_default="the setting matching.target_fpir",
    help="The share of strangers from which that threshold is computed, instead of --above.",
)
@click.option(
    "--limit", type=click.IntRange(1, 100_000), default=1000, show_default=True, help="The most pairs to list."
)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_context
def lookalikes(
    ctx: click.Context,
    broker: str | None,
    data_folder: Path | None,
    above: float | None,
    target_fpir: float | None,
    limit: int,
    form: str,
) -> None:
    """List the pairs of different people whom a match could confuse, the nearest pair first.

    Such a pair is one person under two ids, or two people who will be confused. Like in a match, each face is compared
    with everybody's faces and, with matching.mean_templates, with the mean of the faces of each person with several,
    whatever the groups and permissions; a line says whether a search can compare both people. People of type 4
    (stranger) are left out, because anybody may have passed by as a stranger before. Each line has the ids,
    what is nearest of both (the number of a face, or the mean), their cosine and score, and what can be done.

    The command reads the log beside the running server and changes nothing. It may be interrupted; then it lists
    nothing.

    Exit status: 0 there is no such pair, 1 there are some, 2 the command failed.
    """
    from engine.gallery.pairs import PairSearch
    from engine.policy import policy_of
    from engine.threshold import search_threshold
    from models.errors import ModelError
    from picturematch.embedder import embedder_facts  # so that --help does not import the engine
    from picturematch.lookalikes import Faces, line_of
    from picturematch.reading import read_into

    if above is not None and target_fpir is not None:
        raise click.UsageError("give either --above or --target-fpir")
    settings = settings_of(ctx, broker=broker, data_folder=data_folder)
    try:
        embedder = embedder_facts(settings)
    except ModelError as error:
        raise UserError(printable(str(error))) from error
    read = run(read_into(Faces(embedder), settings))
    policy = policy_of(settings.matching, read.site, pinned_by(ctx, broker=broker, data_folder=data_folder))
    faces = read.listed(means=policy.mean_templates)
    threshold = search_threshold(policy, embedder, len(faces.numbers))
    if target_fpir is not None:
        wanted = structs.replace(policy, threshold=None, accepted_score=None, target_fpir=target_fpir)
        above = search_threshold(wanted, embedder, len(faces.numbers)).cosine
    cosine = threshold.cosine if above is None else above
    search = PairSearch(faces.vectors, faces.owners, cosine, limit, faces.means)
    with progress("comparing blocks of faces", search.steps) as steps:
        for _ in search.run():
            steps.step()
    for pair in search.found.pairs:
        line = line_of(pair, faces, threshold, policy)
        if form == "json":
            echo_json(msgspec.to_builtins(line))
        else:
            click.echo(line.text())
    total = search.found.total
    shown = f"; the nearest {limit} are listed" if total > limit else ""
    means = int(faces.means.sum())
    compared = counted(len(faces.numbers) - means, "face") + (f" and {counted(means, 'mean')}" if means else "")
    click.echo(
        f"{counted(total, 'pair')} at or above cosine {cosine:.3f} among {compared} of"
        f" {people_counted(len(faces.people))}{shown}",
        err=True,
    )
    for sentence in _not_compared(read.foreign_faces, len(read.unreadable)):
        click.echo(sentence, err=True)
    ctx.exit(1 if total else 0)


def _not_compared(foreign: int, unreadable: int) -> list[str]:
    """Return a sentence for each reason for which faces were not compared."""
    found = [f"{counted(foreign, 'face')} of another embedder: not compared"] if foreign else []
    if unreadable:
        found.append(f"{counted(unreadable, 'record')} cannot be read, so a pair may be missing: see people check")
    return found
