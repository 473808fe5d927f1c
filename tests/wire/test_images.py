"""GET of images: the photo with which a face was enrolled."""

import aiohttp
import pytest

from broker.port import Broker, BrokerUnavailable
from contract.people.unreadable import UnreadableRecord
from tests.wire.harness import HttpReply, Serving, Site, add_person

IMAGES = "/SophonFace/api/images/"


async def get(site: Site, image_id: str) -> HttpReply:
    return await site.call("GET", IMAGES + image_id)


async def test_the_photo_is_answered_as_a_jpeg(site: Site) -> None:
    await add_person(site, "7", site.picture)
    reply = await get(site, "7-0")
    assert (reply.status, reply.headers["content-type"], reply.body) == (200, "image/jpeg", site.picture)


@pytest.mark.parametrize(("identity_id", "sent"), [("a-1", "a-1-0"), ("门 %", "%E9%97%A8%20%25-0"), ("-", "--0")])
async def test_an_identity_may_contain_hyphens_blanks_and_all_scripts(site: Site, identity_id: str, sent: str) -> None:
    await add_person(site, identity_id, site.picture)
    async with site.session.get(aiohttp.client.URL(site.ingress.url + IMAGES + sent, encoded=True)) as response:
        assert (response.status, await response.read()) == (200, site.picture)


@pytest.mark.parametrize(
    "image_id", ["7-1", "8-0", "7", "7-", "-0", "7-00", "7-x", "7--1", "", "7%2F0", "%ff-0", "7-" + "9" * 400, "9-0"]
)
async def test_a_name_of_no_photo_is_refused(site: Site, image_id: str) -> None:
    await add_person(site, "7", site.picture)
    await add_person(site, "9")
    reply = await get(site, image_id)
    assert (reply.code, reply.headers["content-type"]) == (40401, "application/json")


async def test_the_photo_of_a_face_that_was_replaced_is_not_answered(site: Site) -> None:
    await add_person(site, "7", site.picture)
    site.people.photos["7", 1] = site.people.photos["7", 0]
    assert (await get(site, "7-1")).code == 40401


async def test_other_methods_and_deeper_paths_are_refused(site: Site) -> None:
    assert (await site.call("POST", IMAGES + "7-0", json={})).code == 40580
    assert (await get(site, "7-0/x")).code == 40400
    assert (await site.call("GET", IMAGES.rstrip("/"))).code == 40400


async def test_an_image_needs_a_key_from_elsewhere_and_readable_people(serving: Serving) -> None:
    async with serving(trusted_networks=(), api_keys=("first-key",)) as site:
        await add_person(site, "7", site.picture)
        assert (await get(site, "7-0")).code == 40180
        assert (await site.call("GET", IMAGES + "7-0", headers={"X-API-Key": "first-key"})).status == 200
        site.people.unreadable[b"person/8"] = UnreadableRecord(3, b"person/8", "because")
        assert (await site.call("GET", IMAGES + "7-0", headers={"X-API-Key": "first-key"})).code == 50380


async def test_a_log_that_cannot_be_read_is_reported(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    await add_person(site, "7", site.picture)

    async def fail(self: Broker, position: object) -> None:
        raise BrokerUnavailable("gone")

    monkeypatch.setattr(type(site.log), "read_at", fail, raising=False)
    assert (await get(site, "7-0")).code == 50380
