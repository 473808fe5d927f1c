"""The engine beside other complete pipelines: `python -m bench.side_by_side FOLDER`.

Every pipeline gets the same pictures in the same run, in turns picture by picture, each in a process of its own on the
same single core with its default settings. Told are pictures per second of that core's time, from the file's bytes to
the embedding, and how well the embeddings tell people apart.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click
import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from bench.face_sets import BadSet, Pair, draw_pairs, photos_of_people, read_pairs
from bench.others.pipeline import Answer, Command, Pipeline, PipelineFailed
from bench.progress import progress
from contract.vectors import Vector
from engine.evaluation.folds import folded_accuracy
from engine.evaluation.photos import FaceChoice
from engine.evaluation.scores import roc, scores_of
from picturematch.networks import install_missing
from picturematch.options import settings_of

_FAR = 1e-2
_STEP = 50
"""Pictures per line of progress."""

_SUFFIXES = frozenset({".jpg", ".jpeg"})
"""What all of the pipelines read."""

_ROOM = Path(__file__).parent / "others"

_EPILOG = """\b
Example:
  python -m bench.side_by_side people --face-recognition other/bin/python
\b
face_recognition, in an environment of its own:
  python3.11 -m venv other
  other/bin/pip install --no-deps face_recognition face_recognition_models dlib-bin
  other/bin/pip install "setuptools<81" numpy pillow click
\b
face-api, in a folder of its own:
  npm install @vladmandic/face-api @tensorflow/tfjs @tensorflow/tfjs-backend-wasm jpeg-js
"""


class Result(msgspec.Struct, frozen=True):
    """The figures of one pipeline. `no_face`: pictures in which it found none; their pairs count as refused.

    `per_second` is of processor time: the same as by the wall where nothing else wants the core.
    `accuracy` (with its standard error) is that over the folds, `tar` at a false accept rate of 1e-2.
    """

    name: str
    pictures: int
    no_face: int
    per_second: float
    median_cpu_ms: float
    median_wall_ms: float
    accuracy: float
    standard_error: float
    tar: float | None


@click.command(epilog=_EPILOG)
@click.argument("people", type=click.Path(exists=True, path_type=Path), metavar="FOLDER|PAIRS")
@click.option(
    "--face-recognition",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="PYTHON",
    help="Interpreter of an environment with face_recognition (dlib).",
)
@click.option(
    "--face-api",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Folder in which @vladmandic/face-api is installed; needs node.",
)
@click.option(
    "--face",
    type=click.Choice(["centred", "largest"]),
    default="centred",
    show_default=True,
    help="Which face counts where a picture shows several.",
)
@click.option("--pairs", default=6000, show_default=True, help="At most so many pairs.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Keeps the figures.")
@click.pass_context
def main(
    ctx: click.Context,
    people: Path,
    face_recognition: Path | None,
    face_api: Path | None,
    face: FaceChoice,
    pairs: int,
    json_file: Path | None,
) -> None:
    """Speed and accuracy of complete pipelines on the same pictures.

    FOLDER holds a folder of JPEGs per person, with or without a pairs.csv (fold,image_a,image_b,same); or give a pairs
    file, CSV or in the form of the LFW protocol.
    """
    install_missing(settings_of(ctx))
    chosen = _thinned(_pairs_of(people), pairs)
    if not _tells(chosen):
        raise click.ClickException(f"--pairs {pairs} leaves a fold or a kind of pair out; ask for more")
    pictures = sorted({path for pair in chosen for path in (pair.first, pair.second)})
    for name, given in (("face_recognition", face_recognition), ("face-api", face_api)):
        if given is None:
            click.echo(f"{name} is skipped: it was not given (see --help for how to install it)")
    try:
        with _started(_commands(face_recognition, face_api)) as pipelines:
            answers = _in_turns(pipelines, pictures, face)
            results = [
                result_of(pipeline, chosen, dict(zip(pictures, answers[i], strict=True)))
                for i, pipeline in enumerate(pipelines)
            ]
    except PipelineFailed as failure:
        raise click.ClickException(str(failure)) from failure
    _print(results, chosen, face)
    if json_file is not None:
        json_file.write_bytes(msgspec.json.format(msgspec.json.encode(results)))


def _pairs_of(people: Path) -> Sequence[Pair]:
    listed = people if people.is_file() else people / "pairs.csv"
    try:
        found = read_pairs(listed, listed.parent) if listed.is_file() else draw_pairs(photos_of_people(people))
    except BadSet as error:
        raise click.ClickException(str(error)) from error
    usable = [pair for pair in found if {pair.first.suffix.lower(), pair.second.suffix.lower()} <= _SUFFIXES]
    if not _tells(usable):
        raise click.ClickException(
            f"{people} gives no JPEG pairs of one person and of different people in at least two folds; give a folder "
            "with a folder of photos per person, or a pairs file"
        )
    return usable


def _tells(pairs: Sequence[Pair]) -> bool:
    """Whether the pairs give an accuracy over folds: both kinds, and two folds or more."""
    return len({pair.same for pair in pairs}) > 1 and len({pair.fold for pair in pairs}) > 1


def _thinned(pairs: Sequence[Pair], most: int) -> Sequence[Pair]:
    """At most so many: each kind of each fold keeps its share, and is spread evenly over the list."""
    if len(pairs) <= most:
        return pairs
    # Pairs of one kind side by side, so that a list in which kinds take turns is not thinned in step with them.
    order = sorted(range(len(pairs)), key=lambda i: (pairs[i].fold, pairs[i].same))
    return [pairs[i] for i in sorted(order[i * len(pairs) // most] for i in range(most))]


def _commands(face_recognition: Path | None, face_api: Path | None) -> Sequence[Command]:
    here = Path.cwd()
    paths = {"PYTHONPATH": str(_ROOM.parents[1])}
    commands = [Command([sys.executable, "-m", "bench.others.ours"], here, paths)]
    if face_recognition is not None:
        # Not resolved: an environment's interpreter is a link, and what it links to knows nothing of the environment.
        interpreter = str(face_recognition.absolute())
        commands.append(Command([interpreter, str(_ROOM / "dlib_pipeline.py")], here, {"PYTHONPATH": ""}))
    if face_api is not None:
        commands.append(Command(["node", str(_ROOM / "face_api.cjs")], face_api, {}))
    return commands


@contextmanager
def _started(commands: Sequence[Command]) -> Iterator[Sequence[Pipeline]]:
    with ExitStack() as stack:
        yield [stack.enter_context(Pipeline(command)) for command in commands]


def _in_turns(pipelines: Sequence[Pipeline], pictures: Sequence[Path], face: FaceChoice) -> Sequence[list[Answer]]:
    answers: list[list[Answer]] = [[] for _ in pipelines]
    for pipeline in pipelines:  # the first picture fills buffers and caches; it is asked for again below
        pipeline.embed(pictures[0], face)
    with progress(-(-len(pictures) // _STEP)) as step:
        for number, picture in enumerate(pictures):
            if number % _STEP == 0:
                step(f"pictures from {number + 1} on")
            # Each goes first in turn, so that none always finds the file's pages warm or the core cold.
            for turn in range(len(pipelines)):
                i = (number + turn) % len(pipelines)
                answers[i].append(pipelines[i].embed(picture, face))
    return answers


def result_of(pipeline: Pipeline, pairs: Sequence[Pair], answers: Mapping[Path, Answer]) -> Result:
    """The figures of one pipeline; a pair with a picture that has no vector scores below all others."""
    scored = [_score(pipeline, answers[pair.first].vector, answers[pair.second].vector) for pair in pairs]
    lowest = min((score for score in scored if score is not None), default=0.0) - 1.0
    scores = np.array([lowest if score is None else score for score in scored], np.float32)
    same = np.array([pair.same for pair in pairs])
    folded = folded_accuracy(scores, same, np.array([pair.fold for pair in pairs], np.int64))
    points = roc(scores_of(scores[same], scores[~same]), [_FAR])
    cpu_ms = [answer.cpu_ms for answer in answers.values()]
    return Result(
        name=pipeline.name,
        pictures=len(answers),
        no_face=sum(answer.vector is None for answer in answers.values()),
        per_second=1000.0 * len(cpu_ms) / sum(cpu_ms),
        median_cpu_ms=float(np.median(cpu_ms)),
        median_wall_ms=float(np.median([answer.wall_ms for answer in answers.values()])),
        accuracy=folded.accuracy,
        standard_error=folded.standard_error,
        tar=points[0].tar if points else None,
    )


def _score(pipeline: Pipeline, one: Vector | None, other: Vector | None) -> float | None:
    return None if one is None or other is None else pipeline.similarity(one, other)


def _print(results: Sequence[Result], pairs: Sequence[Pair], face: FaceChoice) -> None:
    folds = len({pair.fold for pair in pairs})
    table = Table(title=f"{results[0].pictures} pictures, {len(pairs)} pairs, one core, default settings")
    columns = ("pictures/s", "ours is", "cpu ms", "wall ms", "accuracy", "TAR at FAR 1e-2", "no face")
    for column in ("", *columns):
        table.add_column(column, justify="right" if column else "left")
    for result in results:
        table.add_row(
            result.name,
            f"{result.per_second:.1f}",
            f"{results[0].per_second / result.per_second:.1f} x",
            f"{result.median_cpu_ms:.1f}",
            f"{result.median_wall_ms:.1f}",
            f"{result.accuracy:.2%} ± {result.standard_error:.2%}",
            "" if result.tar is None else f"{result.tar:.2%}",
            str(result.no_face),
        )
    console = Console(width=120)
    console.print(table)
    console.print(
        f"From the file's bytes to the embedding of the {face} face. Pictures per second are of the core's time; "
        "milliseconds are medians, and a wall time far above the cpu's means that something else was running. Accuracy "
        f"over {folds} folds, each with the threshold that is best on the others, with its standard error. A pair of "
        "which a picture shows a pipeline no face counts as refused by it."
    )


if __name__ == "__main__":
    main()
