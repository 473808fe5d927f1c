"""picturematch compare: whether two pictures show one person, by a running server."""

from typing import get_args

import click

from contract.calls.compare import CompareResult
from contract.http import COMPARE_PATH
from contract.terms import CompareLevel
from picturematch.ask import answer_of, encoded, finish, json_option, picture_file
from picturematch.options import config_option, server_options


@click.command(
    epilog="""\b
Examples:
  picturematch compare face.jpg card.jpg --level high
  picturematch compare - card.jpg --json < face.jpg"""
)
@config_option
@click.argument("face", type=picture_file)
@click.argument("card", type=picture_file)
@server_options
@click.option(
    "--level",
    type=click.Choice(get_args(CompareLevel)),
    default="middle",
    show_default=True,
    help="False match rate: high 1e-4, middle 1e-3, low 1e-2.",
)
@click.option("--save", is_flag=True, help="Leave an event; without it the comparison leaves none.")
@json_option
@click.pass_context
def command(
    ctx: click.Context, face: str, card: str, url: str, api_key: str | None, level: str, save: bool, as_json: bool
) -> None:
    """Compare the face in FACE, a camera's picture, with the face in CARD. One of them may be -,
    standard input.

    Both pictures stay in the log as long as requests do.

    Exit status: 0 one person, 1 two people, 2 an error, such as no face.
    """
    face_base64, card_base64 = encoded(face, card)
    body = {
        "face_image_base64": face_base64,
        "card_image_base64": card_base64,
        "threshold": level,
        "need_save": save,
    }
    answer = answer_of(COMPARE_PATH, body, CompareResult, url, api_key, as_json)
    is_same = answer.retcode == "1"
    words = "one person" if is_same else "two people"
    finish(ctx, [f"{words}, score {answer.score}"], is_yes=is_same, as_json=as_json)
