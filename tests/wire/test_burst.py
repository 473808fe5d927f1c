"""rgb_images_base64: several pictures of one passage in one call (docs/interface.md)."""

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contract.calls.match import MATCH
from contract.errors import Code
from contract.http import V6_PATH
from contract.pictures.limits import PictureSettings
from contract.requests import MAX_PICTURES, MatchRequest
from tests.wire.harness import Serving, Site, encoded, noise


def base64_of(picture: bytes) -> str:
    return base64.b64encode(picture).decode()


def numbered(count: int, side: int = 64) -> list[bytes]:
    """Different pictures of that side."""
    return [encoded(".jpg", noise(side, side + number)) for number in range(count)]


def pictures_of(site: Site) -> list[tuple[bytes, ...]]:
    return [request.pictures for request in site.requests if isinstance(request, MatchRequest)]


async def test_all_pictures_are_in_one_request_in_their_order(site: Site) -> None:
    sent = numbered(MAX_PICTURES)
    reply = await site.match(rgb_image_base64=..., rgb_images_base64=[base64_of(picture) for picture in sent])
    assert reply.code == 200
    assert pictures_of(site) == [tuple(sent)]


async def test_the_single_picture_counts_as_the_first(site: Site) -> None:
    sent = numbered(4)
    reply = await site.match(rgb_images_base64=[base64_of(picture) for picture in sent])
    assert reply.code == 200
    assert pictures_of(site) == [(site.picture, *sent)]


async def test_so_does_a_picture_file(serving: Serving, tmp_path: Path, picture: bytes) -> None:
    (tmp_path / "face.jpg").write_bytes(picture)
    (further,) = numbered(1)
    async with serving(image_roots=(str(tmp_path),)) as site:
        fields = {"image_file_path": str(tmp_path / "face.jpg"), "rgb_images_base64": [base64_of(further)]}
        assert (await site.match(rgb_image_base64=..., **fields)).code == 200
        assert pictures_of(site) == [(picture, further)]
    async with serving(image_roots=(str(tmp_path),), trusted_networks=()) as site:
        assert (await site.match(rgb_image_base64=..., **fields)).code == Code.PARAM_ERROR


async def test_a_list_of_one_is_the_same_request_as_one_picture(site: Site) -> None:
    assert (await site.match(compare_time=1.5)).code == 200
    listed = await site.match(rgb_image_base64=..., rgb_images_base64=[site.picture_base64], compare_time=1.5)
    assert listed.code == 200
    one, other = (request for request in site.requests if isinstance(request, MatchRequest))
    assert (one.picture, one.further_pictures) == (other.picture, other.further_pictures) == (site.picture, ())


@pytest.mark.parametrize(
    ("sent", "code", "words"),
    [
        ([], Code.PARAM_ERROR, "a list of 1 to 5"),
        ("QUJD", Code.PARAM_ERROR, "a list of 1 to 5"),
        ([1], Code.PARAM_ERROR, "rgb_images_base64[0]"),
        ([""], Code.IMAGE_ERROR, "rgb_images_base64[0] is empty"),
        (["QUJD"], Code.IMAGE_ERROR, "rgb_images_base64[0]"),
        (["?"], Code.IMAGE_ERROR, "rgb_images_base64[0]"),
        ([None], Code.PARAM_ERROR, "rgb_images_base64[0]"),
    ],
)
async def test_what_is_no_list_of_pictures_is_refused_by_its_place(
    site: Site, sent: Any, code: Code, words: str
) -> None:
    reply = await site.match(rgb_images_base64=sent)
    assert reply.code == code
    assert words in reply.json["error"]["message"]
    assert site.requests == []


async def test_there_are_at_most_five_with_the_single_one(site: Site) -> None:
    texts = [base64_of(picture) for picture in numbered(MAX_PICTURES + 1)]
    reply = await site.match(rgb_images_base64=texts[:MAX_PICTURES])
    assert (reply.code, "at most 4" in reply.json["error"]["message"]) == (Code.PARAM_ERROR, True)
    reply = await site.match(rgb_image_base64=..., rgb_images_base64=texts)
    assert (reply.code, "1 to 5" in reply.json["error"]["message"]) == (Code.PARAM_ERROR, True)
    equal = await site.match(rgb_image_base64=texts[0], rgb_images_base64=texts[:1] * MAX_PICTURES)
    assert (equal.code, "equal ones included" in equal.json["error"]["message"]) == (Code.PARAM_ERROR, True)
    assert site.requests == []


async def test_the_limits_of_one_picture_are_those_of_all_together(serving: Serving) -> None:
    sent = numbered(3, side=100)
    texts = [base64_of(picture) for picture in sent]
    size, pixels = sum(map(len, sent)), 100 * (100 + 101 + 102)
    for limits, code in (
        (PictureSettings(max_bytes=size, max_pixels=pixels), 200),
        (PictureSettings(max_bytes=size - 1, max_pixels=pixels), Code.PAYLOAD_TOO_LARGE),
        (PictureSettings(max_bytes=size, max_pixels=pixels - 1), Code.IMAGE_SIZE_TOO_LARGE_ERROR),
    ):
        async with serving(pictures=limits) as site:
            reply = await site.match(rgb_image_base64=..., rgb_images_base64=texts)
            assert reply.code == code
            if code != 200:
                assert "together" in reply.json["error"]["message"]
                assert "rgb_images_base64" in reply.json["error"]["message"]
            assert len(site.requests) == (code == 200)


async def test_pictures_that_are_dear_together_are_refused(serving: Serving) -> None:
    dear = [base64_of(encoded(".png", np.zeros((2860, 2860 + number, 3), np.uint8))) for number in range(3)]
    async with serving(pictures=PictureSettings()) as site:
        two = await site.match(rgb_image_base64=..., rgb_images_base64=dear[:2])
        three = await site.match(rgb_image_base64=..., rgb_images_base64=dear)
    assert (two.code, three.code) == (200, Code.IMAGE_SIZE_TOO_LARGE_ERROR)
    assert "take longer to decode" in three.json["error"]["message"]


async def test_the_search_of_version_6_does_not_have_the_field(site: Site) -> None:
    body = {"media_device_ip": "192.168.1.22", "rgb_images_base64": [site.picture_base64]}
    reply = await site.call("POST", f"{V6_PATH}/search", json=body)
    assert reply.json["error"]["code"] == "MISSING_ARGUMENTS"
    assert "rgb_images_base64" in {field.name for field in MATCH.fields}
