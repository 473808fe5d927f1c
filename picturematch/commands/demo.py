"""picturematch demo: enrolment, match and refusals in one command, without further files."""

import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
import orjson
import pybase64
from rich.console import Console

from broker.port import Start
from clients.answers import ServerAnswer
from clients.http import Client
from contract.http import MATCH_PATH, USERS_PATH
from engine.vision.decode.jpeg import encode_jpeg
from engine.vision.decode.versions import decode
from engine.vision.ports import Image, ModelSet
from ingest.settings import IngestSettings
from picturematch.networks import install_missing
from picturematch.options import config_option, settings_of
from picturematch.settings import Settings
from picturematch.shell import echo_json, run
from picturematch.system import System
from picturematch.wiring import open_models, run_system

_DEVICE = "192.168.1.22"


@dataclass(frozen=True, slots=True)
class _Step:
    """One call of the demo.

    Attributes:
        shows: a sentence about what the call demonstrates.
        call: the path of the call.
        body: the body of the call.
        expected: the fields that the answer must contain.
    """

    shows: str
    call: str
    body: Mapping[str, Any]
    expected: Mapping[str, Any]


@click.command(epilog="Example: picturematch demo")
@config_option
@click.pass_context
def command(ctx: click.Context) -> None:
    """Demonstrate PictureMatch: a stranger, an enrolment, a match, and two refusals.

    Starts a server with a data folder and a port of its own, makes the calls that devices and back ends make, and
    prints every answer and every event as JSON. Nothing is left behind, and of the settings only the networks are
    taken. Exit status: 0 all went as it should, 1 not.
    """
    settings = settings_of(ctx)
    store = install_missing(settings, samples=True)
    portrait, coffee = (
        decode(store.sample(name).read_bytes(), settings.pictures.max_pixels)
        for name in ("astronaut.png", "coffee.png")
    )
    with tempfile.TemporaryDirectory(prefix="picturematch-demo-") as folder:
        own = own_settings(settings, Path(folder))
        models = open_models(own)
        steps = _steps(portrait, coffee, models)

        async def show() -> bool:
            async with run_system(own, models) as system, Client(system.url) as client:
                met = [_show_answer(step, await client.post(step.call, step.body)) for step in steps]
                return all(met) and await _show_events(system, own.topics.events, len(steps))

        met = run(show())
    if not met:
        click.echo("the demo did not go as it should; see above", err=True)
    ctx.exit(0 if met else 1)


def own_settings(settings: Settings, folder: Path) -> Settings:
    """Return settings for the demo, with only the networks from `settings`.

    The demo must not enrol people in a log that is in real use, nor depend on its port, keys or rules.
    """
    return Settings(data_folder=folder, ingest=IngestSettings(port=0), models=settings.models)


def _steps(portrait: Image, coffee: Image, models: ModelSet) -> Sequence[_Step]:
    photo = _base64(encode_jpeg(portrait))
    somebody = np.random.default_rng(1).normal(size=models.embedder.dimension).round(4).tolist()
    imported = {"import_mode": True, "feature": somebody, "feature_model": models.embedder_identity}
    return (
        _Step(
            "Somebody else is enrolled by a feature vector, so that the gallery is not empty.",
            USERS_PATH,
            {"identity_id": "1001", **imported, "info": {"name": "Somebody Else"}},
            {"identity_id": "1001"},
        ),
        _Step(
            "A real face is not enrolled yet, so the answer is a stranger (retcode 0).",
            MATCH_PATH,
            {"device_ip": _DEVICE, "rgb_image_base64": photo},
            {"retcode": "0", "name": "stranger"},
        ),
        _Step(
            "That face is enrolled from its photo.",
            USERS_PATH,
            {"identity_id": "1002", "reg_photo": photo, "info": {"name": "Eileen Collins", "type": 5}},
            {"identity_id": "1002"},
        ),
        _Step(
            "A tilted, cropped, darker copy of the photo matches the person (retcode 1).",
            MATCH_PATH,
            {"device_ip": _DEVICE, "rgb_image_base64": _base64(_altered(portrait)), "compare_time": 1700000000.25},
            {"retcode": "1", "identity_id": "1002"},
        ),
        _Step(
            "A picture without a face is refused with 40004.",
            MATCH_PATH,
            {"device_ip": _DEVICE, "rgb_image_base64": _base64(encode_jpeg(coffee))},
            {"code": 40004},
        ),
        _Step(
            "A truncated picture is refused with 40003.",
            MATCH_PATH,
            {"device_ip": _DEVICE, "rgb_image_base64": _base64(encode_jpeg(portrait)[:20_000])},
            {"code": 40003},
        ),
    )


def _altered(image: Image) -> bytes:
    """Return a copy of an image that is tilted by 8 degrees, cropped, darker, and strongly compressed, as JPEG."""
    rows, columns = image.shape[:2]
    turn = cv2.getRotationMatrix2D((columns / 2, rows / 2), 8.0, 1.0)
    turned = cv2.warpAffine(image, turn, (columns, rows))
    darker = cv2.convertScaleAbs(turned[: rows * 3 // 4, columns // 8 :], alpha=0.8, beta=-5)
    return encode_jpeg(np.ascontiguousarray(darker, np.uint8), quality=40)


def _base64(data: bytes) -> str:
    return pybase64.b64encode(data).decode()


def _show_answer(step: _Step, answer: ServerAnswer) -> bool:
    _print({"step": step.shows, "http_status": answer.http_status, "answer": answer.fields})
    fields = answer.fields.get("error") or answer.fields.get("data") or answer.fields
    return all(fields.get(name) == value for name, value in step.expected.items())


async def _show_events(system: System, topic: str, steps: int) -> bool:
    """Print the events; return whether there is exactly one event for each of the `steps` calls."""
    events: list[Any] = []
    async with system.broker.reader(topic, Start.EARLIEST) as reader:
        while records := await reader.fetch(timeout_s=0.5):
            events += [orjson.loads(record.value or b"null") for record in records]
    _print({"step": "Every call has left exactly one event, whatever its answer was."})
    for event in sorted(events, key=lambda event: event["processed_time"]):
        _print({"event": event})
    return len(events) == steps


def _print(value: Mapping[str, Any]) -> None:
    if sys.stdout.isatty():
        Console().print_json(orjson.dumps(value).decode(), ensure_ascii=True)
    else:
        echo_json(value)
