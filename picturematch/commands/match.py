"""picturematch match: who is in a picture, by a running server."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from contract.http import MATCH_PATH
from picturematch.ask import ask, encoded, json_option, picture_argument
from picturematch.options import config_option
from picturematch.shell import server_options


@click.command(
    epilog="""\b
Examples:
  picturematch match door.jpg
  ffmpeg -i rtsp://camera -frames:v 1 -f mjpeg - | picturematch match - --json"""
)
@config_option
@picture_argument("file")
@server_options
@click.option("--device-ip", default="127.0.0.1", show_default=True, help="Device that the event names.")
@click.option(
    "--liveness",
    type=click.Choice(["liveness_off", "liveness_rgb"]),
    help="Checks against pictures of faces.  [default: the server's]",
)
@json_option
@click.pass_context
def command(
    ctx: click.Context, file: Path, url: str, api_key: str | None, device_ip: str, liveness: str | None, as_json: bool
) -> None:
    """Match the largest face of FILE with the people enrolled at a running server. FILE - is standard input.

    The call leaves an event, as a device's does. Exit status: 0 matched, 1 a stranger or a person who may not pass,
    2 an error.
    """

    def body() -> Mapping[str, Any]:
        asked = {"device_ip": device_ip, "rgb_image_base64": encoded(file)}
        return asked if liveness is None else {**asked, "liveness_mode": liveness}

    ctx.exit(ask(url, api_key, MATCH_PATH, body, as_json=as_json, lines=_lines, is_yes=_is_matched))


def _is_matched(answer: Mapping[str, Any]) -> bool:
    return answer.get("retcode") == "1"


def _lines(answer: Mapping[str, Any]) -> list[str]:
    if not answer.get("identity_id"):
        return [f"stranger; the nearest person scores {answer.get('score')}"]
    word = "matched" if _is_matched(answer) else "recognised, and may not pass"
    return [f"{word}: {answer.get('identity_id')} ({answer.get('name')}), score {answer.get('score')}"]
