"""picturematch match: who is in a picture, by a running server."""

import click
from msgspec import UnsetType

from contract.calls.match import FaceInPicture, MatchResult
from contract.http import MATCH_PATH
from contract.terms import LIVENESS_ORDER
from picturematch.ask import answer_of, encoded, finish, json_option, picture_file
from picturematch.options import config_option, server_options


@click.command(
    epilog="""\b
Examples:
  picturematch match door.jpg
  picturematch match queue.jpg --all-faces
  ffmpeg -i rtsp://camera -frames:v 1 -f mjpeg - | picturematch match - --json"""
)
@config_option
@click.argument("file", type=picture_file)
@server_options
@click.option("--device-ip", default="127.0.0.1", show_default=True, help="Device that the event names.")
@click.option("--ir", type=picture_file, help="Infrared picture; it turns infrared liveness on.")
@click.option(
    "--liveness",
    type=click.Choice(LIVENESS_ORDER),
    show_default="the server's",
    help="Checks against pictures of faces.",
)
@click.option("--all-faces", is_flag=True, help="Match every face of the picture, and print a line for each.")
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    file: str,
    url: str,
    api_key: str | None,
    device_ip: str,
    ir: str | None,
    liveness: str | None,
    all_faces: bool,
    as_json: bool,
) -> None:
    """Match a face of FILE with the people enrolled at a running server. FILE - is standard input.

    The call leaves an event, as a device's does, and the picture stays in the log as long as requests do.

    Exit status: 0 matched, 1 a stranger or a person who may not pass, 2 an error, such as no face.
    """
    picture, *infrared = encoded(file, *([] if ir is None else [ir]))
    body = {
        "device_ip": device_ip,
        "rgb_image_base64": picture,
        "ir_image_base64": infrared[0] if infrared else None,
        "liveness_mode": liveness,
        "match_all_faces": all_faces or None,
    }
    answer = answer_of(MATCH_PATH, body, MatchResult, url, api_key, as_json)
    faces = () if isinstance(answer.faces, UnsetType) else answer.faces
    finish(ctx, [_in_words(answer), *map(_face_in_words, faces)], is_yes=answer.retcode == "1", as_json=as_json)


def _face_in_words(face: FaceInPicture) -> str:
    left, top, width, height = face.bbox
    who = f" {face.identity_id} ({face.name})" if face.identity_id else ""
    score = "" if isinstance(face.score, UnsetType) else f", score {face.score}"
    return f"face of {width:g} x {height:g} px at ({left:g}, {top:g}): {face.outcome}{who}{score}"


def _in_words(answer: MatchResult) -> str:
    if not answer.identity_id:
        return f"stranger; the nearest person scores {answer.score}"
    word = "matched" if answer.retcode == "1" else "recognised, and may not pass"
    return f"{word}: {answer.identity_id} ({answer.name}), score {answer.score}"
