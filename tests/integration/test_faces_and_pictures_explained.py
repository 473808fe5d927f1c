"""Rivals, all faces of a picture, and several pictures: decided by a server, recorded, replayed and explained."""

import base64
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from engine.vision.decode.jpeg import encode_jpeg
from engine.vision.networks.standin import draw_face, draw_scene
from tests.faults.test_serve import MATCH, USERS, enrol_body, post, serving
from tests.support.commands import run
from tests.support.faces import photo, scene

STAND_IN = {"PICTUREMATCH_MODELS__KIND": "stand-in"}
INFRARED = scene(draw_face(1, 150, infrared=True), draw_face(2, 120, infrared=True))


def two(middle: int, side: int, **at_side: Any) -> bytes:
    """A picture of two people who are equally near."""
    placed = [(draw_face(middle, 150), 240, 160), (draw_face(side, 150, **at_side), 0, 0)]
    return encode_jpeg(draw_scene(640, 480, placed), quality=95)


def body(*pictures: bytes, infrared: bytes | None = None, **fields: Any) -> dict[str, Any]:
    first, *further = (base64.b64encode(picture).decode() for picture in pictures)
    sent = {"rgb_image_base64": first, "device_ip": "10.0.0.1"} | ({"rgb_images_base64": further} if further else {})
    if infrared is not None:
        sent["ir_image_base64"] = base64.b64encode(infrared).decode()
    return sent | fields


CALLS: dict[str, tuple[dict[str, Any], str]] = {
    "a stranger as the rival": (body(two(1, 77)), "matched"),
    "the rival is answered": (body(two(77, 1)), "matched"),
    "two strangers": (body(two(77, 78)), "stranger"),
    "a rival on the blacklist": (body(two(1, 2)), "matched"),
    "a rival on the blacklist beside a stranger": (body(two(77, 2)), "blacklisted"),
    "a photo beside": (body(two(77, 1, live=False), liveness_mode="liveness_rgb"), "stranger"),
    "all faces": (body(scene(draw_face(1, 200), draw_face(2, 100), draw_face(9, 90)), match_all_faces=True), "matched"),
    "one person twice": (body(scene(draw_face(1, 200), draw_face(1, 100)), match_all_faces=True), "matched"),
    "the only face": (body(photo(1), match_all_faces=True), "matched"),
    "a refused face": (
        body(
            scene(draw_face(1, 200, live=False), draw_face(2, 90)), match_all_faces=True, liveness_mode="liveness_rgb"
        ),
        "spoof",
    ),
    "all faces in the infrared": (
        body(scene(draw_face(1, 150), draw_face(2, 120)), infrared=INFRARED, match_all_faces=True),
        "matched",
    ),
    "a passage": (body(photo(1), photo(1, size=120), scene(), photo(2, size=60), photo(1)), "matched"),
    "a passage with a rival": (body(two(1, 77), photo(1, size=120)), "matched"),
    "a passage in the infrared": (body(photo(1), photo(1, size=150), infrared=photo(1, infrared=True)), "matched"),
    "a passage with a copy": (body(photo(1), photo(1, live=False), liveness_mode="liveness_rgb"), "spoof"),
    "a passage with a damaged infrared picture": (
        body(photo(1), photo(1, size=120), infrared=INFRARED[:-2000]),
        "image_error",
    ),
}


@pytest.mark.longest
async def test_every_kind_comes_out_again(tmp_path: Path) -> None:
    folder, capture = tmp_path / "data", tmp_path / "capture"
    async with serving(folder) as server, aiohttp.ClientSession() as session:
        for identity_id, seed, kind in (("anna", 1, 1), ("ben", 2, 3)):
            enrolled = enrol_body(identity_id, seed)
            enrolled["info"] |= {"type": kind}
            assert (await post(session, server.url + USERS, enrolled))[0] == 200
        ids = {name: (await post(session, server.url + MATCH, sent))[1] for name, (sent, _) in CALLS.items()}
    for name, event_id in ids.items():
        done = await run("explain", event_id, "--data-folder", folder, "--json", **STAND_IN)
        told = json.loads(done.out)
        assert (done.status, told["alarm"], told["way"], told["gone"]) == (0, False, "look", []), (name, told["alarms"])
        assert told["outcome"] == CALLS[name][1], name
        assert told["flips"] or told["no_flip"], name
    done = await run("record", "--data-folder", folder, "--out", capture, "--photos", "all", **STAND_IN)
    assert (done.status, done.err) == (0, "")
    for options, tier in (((), "decide"), (("--look",), "look")):
        done = await run("replay", capture, "--json", *options, **STAND_IN)
        assert (done.status, done.err) == (0, "")
        counts = json.loads(done.out.splitlines()[-1])["summary"]
        assert (done.status, counts["different"], counts["could_not_run"]) == (0, 0, 0), done.out[:2000]
        assert {name: each["same"] for name, each in counts["tiers"].items()} == {tier: len(CALLS)}
    shown = (await run("explain", ids["the rival is answered"], "--data-folder", folder, **STAND_IN)).out
    assert "so the answer is about its rival" in shown
    shown = (await run("explain", ids["one person twice"], "--data-folder", folder, **STAND_IN)).out
    assert "because another face keeps the nearest person" in shown
    shown = (await run("explain", ids["a passage"], "--data-folder", folder, **STAND_IN)).out
    assert "of 5 pictures" in shown
    assert "Picture 5 was left out: it is the same as an earlier one." in shown
