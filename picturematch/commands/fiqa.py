"""picturematch fiqa: how good a picture is for recognition, by a running server."""

from typing import get_args

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
  picturematch fiqa - --json < face.jpg"""
)
@config_option
@click.argument("file", type=picture_file)
@server_options
@click.option(
    "--level",
    type=click.Choice(get_args(QualityLevel)),
    default="high",
    show_default=True,
    help="The limits that a face must keep (docs/interface.md, Quality levels).",
)
@json_option
@click.pass_context
def command(ctx: click.Context, file: str, url: str, api_key: str | None, level: str, as_json: bool) -> None:
    """Measure the quality of the faces of FILE, the largest first. FILE - is standard input.

    The picture stays in the log as long as requests do.

    Exit status: 0 the largest face passes the level, 1 it fails, 2 an error, such as no face.
    """
    (picture,) = encoded(file)
    body = {"image_base64_str": picture, "fiqa_level": level}
    faces = answer_of(FIQA_PATH, body, Data[list[AssessedFace]], url, api_key, as_json).data
    lines = [_line(number, face) for number, face in enumerate(faces, 1)]
    finish(ctx, lines, is_yes=bool(faces) and faces[0].fiqa_result, as_json=as_json)


def _line(number: int, face: AssessedFace) -> str:
    verdict = "passes" if face.fiqa_result else f"fails {', '.join(face.fails)}"
    items = ", ".join(
        f"{name} {value}"
        for name, value in msgspec.to_builtins(face.info).items()
        if isinstance(value, float) and not isinstance(value, bool)
    )
    return f"face {number} {verdict}; score {face.score}; {items}"
