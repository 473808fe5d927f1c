"""picturematch fiqa: how good a picture is for recognition, by a running server."""

from typing import Any, get_args

import click
import msgspec

from contract.calls.fiqa import AssessedFace
from contract.calls.shared import Data
from contract.http import FIQA_PATH
from contract.terms import QualityLevel
from picturematch.ask import answer_of, encoded, finish, json_option, picture_file
from picturematch.options import config_option, server_options


@click.command(
    epilog="""\b
Examples:
  picturematch fiqa face.jpg --level middle
  picturematch fiqa - --json < face.jpg | jq '.data[0].fails'"""
)
@config_option
@click.argument("file", type=picture_file)
@server_options
@click.option(
    "--level",
    type=click.Choice(get_args(QualityLevel)),
    default="high",
    show_default=True,
    help="Quality level that the faces are compared with.",
)
@json_option
@click.pass_context
def command(ctx: click.Context, file: str, url: str, api_key: str | None, level: str, as_json: bool) -> None:
    """Measure the quality of the faces of FILE, the largest first. FILE - is standard input.

    The call leaves no event; the picture stays in the log as long as requests do.

    Exit status: 0 the largest face passes the level, 1 it fails, 2 an error, such as no face.
    """
    (picture,) = encoded(file)
    body = {"image_base64_str": picture, "fiqa_level": level}
    faces = answer_of(FIQA_PATH, body, Data[list[AssessedFace]], url, api_key, as_json).data
    lines = [line for number, face in enumerate(faces, start=1) for line in _in_words(number, face)]
    finish(ctx, lines, is_yes=bool(faces) and faces[0].fiqa_result, as_json=as_json)


def _in_words(number: int, face: AssessedFace) -> list[str]:
    left, top, right, bottom = face.bbox
    verdict = "passes" if face.fiqa_result else f"fails: {', '.join(face.fails)}"
    measured = msgspec.to_builtins(face.info)
    return [
        f"face {number} {verdict}; score {face.score}; {right - left} x {bottom - top} pixels at {left},{top}",
        f"  measured: {', '.join(f'{name} {_value(value)}' for name, value in sorted(measured.items()))}",
    ]


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return f"({', '.join(f'{name} {part}' for name, part in sorted(value.items()))})"
    return "not measured" if value in ([], -1) else str(value)
