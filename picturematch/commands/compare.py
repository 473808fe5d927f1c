"""picturematch compare: whether two pictures show one person, by a running server."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from contract.http import COMPARE_PATH
from picturematch.ask import ask, encoded, json_option, picture_argument
from picturematch.options import UserError, config_option
from picturematch.shell import server_options


@click.command(epilog="Example: picturematch compare face.jpg card.jpg --level high")
@config_option
@picture_argument("face")
@picture_argument("card")
@server_options
@click.option(
    "--level",
    type=click.Choice(["low", "middle", "high"]),
    default="middle",
    show_default=True,
    help="False match rate: low 1e-2, middle 1e-3, high 1e-4.",
)
@click.option("--save", is_flag=True, help="Leave an event; without it the comparison leaves none.")
@json_option
@click.pass_context
def command(
    ctx: click.Context, face: Path, card: Path, url: str, api_key: str | None, level: str, save: bool, as_json: bool
) -> None:
    """Compare the largest face of FACE, a camera's picture, with the largest face of CARD. One of them may be -,
    standard input.

    Exit status: 0 one person, 1 two people, 2 an error.
    """
    if str(face) == str(card) == "-":
        raise UserError("only one of the two pictures can come from standard input; give the other one as a file")

    def body() -> Mapping[str, Any]:
        pictures = {"face_image_base64": encoded(face), "card_image_base64": encoded(card)}
        return {**pictures, "threshold": level, "need_save": save}

    ctx.exit(ask(url, api_key, COMPARE_PATH, body, as_json=as_json, lines=_lines, is_yes=_is_same))


def _is_same(answer: Mapping[str, Any]) -> bool:
    return answer.get("retcode") == "1"


def _lines(answer: Mapping[str, Any]) -> list[str]:
    word = "one person" if _is_same(answer) else "two people"
    return [f"{word}, score {answer.get('score')}"]
