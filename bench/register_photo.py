"""What need_register_photo adds to a match: `python -m bench.register_photo --broker kafka://127.0.0.1:9092`.

The server is the bench's own and has networks that recognise drawings, so that the log and the photo take most of the
time. People are enrolled with photos of about a camera's size; matches with and without the photo are sent in turn, one
at a time. Prints the median of both and their difference.
"""

import asyncio
import os
import statistics

import click
import numpy as np
from pybase64 import b64encode_as_string

from bench.load import match_call, run_load
from bench.server import Server, log_environment, running_server
from clients.http import Client
from contract.http import USERS_PATH
from engine.vision.decode.jpeg import encode_jpeg
from engine.vision.networks.standin import draw_face, draw_scene
from picturematch.options import broker_option, settings_of

AIM_MS = 10.0
_CAMERA = 1280, 960
_PEOPLE = 60


def _photo(number: int) -> bytes:
    """A JPEG of a drawn face with a camera's noise; equal numbers are equal faces."""
    scene = draw_scene(*_CAMERA, [(draw_face(number, 320), 300, 200)])
    noise = np.random.default_rng(number).integers(0, 12, scene.shape, np.uint8)
    return encode_jpeg(np.ascontiguousarray(np.minimum(scene, 243) + noise, np.uint8), quality=85)


@click.command(epilog="Example: python -m bench.register_photo --rounds 200")
@broker_option
@click.option("--rounds", default=200, show_default=True, help="Matches of each kind.")
@click.pass_context
def main(ctx: click.Context, broker: str | None, rounds: int) -> None:
    """Milliseconds that the enrolled photo adds to the answer of a match."""
    settings = settings_of(ctx, broker=broker, log__topic_prefix=f"bench-{os.getpid()}")
    with running_server({"PICTUREMATCH_MODELS__KIND": "stand-in", **log_environment(settings)}) as server:
        plain, with_photo = asyncio.run(_measure(server, rounds))
    click.echo(f"match: p50 {plain:.1f} ms; with the enrolled photo: p50 {with_photo:.1f} ms")
    click.echo(f"need_register_photo adds {with_photo - plain:.1f} ms p50 (aim: at most {AIM_MS:.0f})")


async def _measure(server: Server, rounds: int) -> tuple[float, float]:
    photo = _photo(1)
    async with Client(server.url, timeout_s=30) as client:
        for number in range(_PEOPLE):
            body = {"identity_id": f"p{number}", "reg_photo": b64encode_as_string(_photo(number)), "info": {}}
            answer = await client.post(USERS_PATH, body)
            if answer.http_status != 200:
                raise click.ClickException(f"person {number} could not be enrolled: {answer.error_text}")
    click.echo(f"photo: {len(photo) / 1000:.0f} KB")
    calls = {False: match_call(photo, "10.0.0.1"), True: match_call(photo, "10.0.0.1", need_register_photo=True)}
    took: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(rounds):
        for wanted, call in calls.items():
            result = await run_load(server.port, [call], 1, 1)
            if result.failed:
                raise click.ClickException("a match failed")
            took[wanted] += result.latencies_ms
    return statistics.median(took[False]), statistics.median(took[True])


if __name__ == "__main__":
    main()
