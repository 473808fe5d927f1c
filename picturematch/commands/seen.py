"""picturematch seen: rank the faces of past matches by their similarity to a picture, on a running server."""

import time
from datetime import UTC, datetime

import click

from contract.calls.search import RankedFace, RankedFaces
from contract.calls.shared import Data
from contract.http import SEEN_PATH
from contract.seen_faces import MOST_FOUND
from picturematch.ask import answer_of, encoded, finish, json_option, picture_file
from picturematch.options import config_option, server_options
from picturematch.shell import When, counted


@click.command(
    epilog="""\b
Examples:
  picturematch seen face.jpg --since 7d --reason "a bag was left at the gate"
  picturematch seen face.jpg --since 1h --limit 5 --json | jq '.data.faces[0].event_id'"""
)
@config_option
@click.argument("file", type=picture_file)
@server_options
@click.option(
    "--since",
    type=When(),
    default="1d",
    show_default=True,
    help="Matches at this time or later: epoch seconds, ISO 8601, or 10m, 2h, 1d ago.",
)
@click.option("--until", type=When(), help="Matches at this time or earlier; absent: now.")
@click.option("--device", "devices", multiple=True, metavar="DEVICE_ID", help="Matches at this device; repeatable.")
@click.option("--limit", type=click.IntRange(1, MOST_FOUND), default=20, show_default=True, help="Number of faces.")
@click.option("--reason", help="Why you search; the audit record of the search contains it.")
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    file: str,
    url: str,
    api_key: str | None,
    since: float,
    until: float | None,
    devices: tuple[str, ...],
    limit: int,
    reason: str | None,
    as_json: bool,
) -> None:
    """Rank the faces of past matches by their similarity to the largest face of FILE. FILE - is standard input.

    The list shows where somebody may have been, and decides nothing: CHANCE is the number of faces of other people that
    are to be expected at that cosine or above. The server searches the matches whose evidence the log still has, if
    its setting ingest.picture_search allows that, and writes an audit record of each search.

    Exit status: 0 faces were found, 1 none was, 2 an error, such as no face.
    """
    (picture,) = encoded(file)
    body = {
        "face_image_base64": picture,
        "since": since,
        "until": time.time() if until is None else until,
        "most": limit,
        "device_id_list": list(devices) or None,
        "reason": reason,
    }
    found = answer_of(SEEN_PATH, body, Data[RankedFaces], url, api_key, as_json).data
    lines = [*map(_in_words, found.faces), f"{counted(found.among, 'face')} compared"]
    finish(ctx, lines, is_yes=bool(found.faces), as_json=as_json)


def _in_words(face: RankedFace) -> str:
    when = datetime.fromtimestamp(face.timestamp, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    who = f"{face.identity_id} ({face.identity_name})" if face.identity_id else face.outcome or "event not stored"
    chance = "unknown" if face.chance_hits is None else f"{face.chance_hits:g}"
    where = face.device_name or face.device_id or "no device"
    return f"{face.rank}. {when}  cosine {face.cosine:.3f}  chance {chance}  {where}  {who}  event {face.event_id}"
