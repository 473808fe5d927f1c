"""image_file_path: only under the roots, and every failure looks the same."""

import contextlib
import os
import socket
import threading
from pathlib import Path

import pytest

from contract.calls.declaration import Declaration
from contract.calls.dialects import Dialect
from contract.calls.rules import PICTURE_PATH
from contract.http import MATCH_PATH, V6_PATH
from contract.people.site import KeyRecord
from contract.pictures.limits import PictureSettings
from contract.requests import MatchRequest
from ingest.api.listing import BINDINGS
from ingest.keys import digest
from ingest.paths import read_picture_file
from tests.support.waiting import until
from tests.wire.harness import HttpReply, Serving, Site

AWAY = {"trusted_networks": ()}
"""No caller comes from a trusted network."""
KEY = "pm_" + "k" * 43
BY_PATH = [
    pytest.param(binding.declaration, field.name, id=f"{binding.declaration.path} {field.name}")
    for binding in BINDINGS
    for field in binding.declaration.fields
    if field.rule is PICTURE_PATH and binding.role == "device"
]
"""Each field of a call of devices that names a picture file."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The only root, besides a folder that is none."""
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "outside").mkdir()
    return root


async def test_a_picture_under_a_root_is_matched_and_wins_over_base64(
    serving: Serving, root: Path, picture: bytes
) -> None:
    other = picture + b"other"
    (root / "inner").mkdir()
    (root / "inner" / "face.jpg").write_bytes(other)
    async with serving(image_roots=("/nowhere", str(root))) as site:
        reply = await site.match(image_file_path=str(root / "inner" / "face.jpg"))
        assert reply.code == 200
        alone = await site.match(image_file_path=str(root / "inner" / "face.jpg"), rgb_image_base64=...)
        assert alone.code == 200
        assert [isinstance(r, MatchRequest) and r.picture == other for r in site.requests] == [True, True]


async def test_links_inside_a_root_and_detours_are_followed(serving: Serving, root: Path, picture: bytes) -> None:
    (root / "a").mkdir()
    (root / "a" / "face.jpg").write_bytes(picture)
    (root / "link.jpg").symlink_to(root / "a" / "face.jpg")
    async with serving(image_roots=(str(root),)) as site:
        for path in ("link.jpg", "a/../a/face.jpg", "a//face.jpg"):
            assert (await site.match(image_file_path=f"{root}/{path}")).code == 200


async def test_every_failure_is_the_same_answer(serving: Serving, root: Path, picture: bytes) -> None:
    outside = root.parent / "outside" / "face.jpg"
    outside.write_bytes(picture)
    (root.parent / "root2").mkdir()
    (root.parent / "root2" / "face.jpg").write_bytes(picture)
    (root / "out.jpg").symlink_to(outside)
    (root / "out").symlink_to(outside.parent)
    (root / "loop.jpg").symlink_to(root / "loop.jpg")
    (root / "folder.jpg").mkdir()
    (root / "empty.jpg").touch()
    (root / "text.jpg").write_text("root:x:0:0")
    (root / "inside.jpg").write_bytes(picture)
    (root / "large.jpg").write_bytes(picture + b"\0" * 50_000)
    os.mkfifo(root / "fifo.jpg")
    listener = socket.socket(socket.AF_UNIX)
    with contextlib.chdir(root):  # a socket's name must be short
        listener.bind("s")
    (root / "unreadable.jpg").write_bytes(picture)
    (root / "unreadable.jpg").chmod(0 if os.geteuid() else 0o600)
    paths = [
        str(outside),
        str(root / "missing.jpg"),
        str(root / "out.jpg"),
        str(root / "out" / "face.jpg"),
        str(root / "loop.jpg"),
        str(root / "folder.jpg"),
        str(root / "empty.jpg"),
        str(root / "text.jpg"),
        str(root / "large.jpg"),
        str(root / "fifo.jpg"),
        str(root / "s"),
        f"{root}/{'./' * 3000}inside.jpg",
        f"{root}{'/a' * 400_000}",
        f"{root}/../outside/face.jpg",
        f"{root}2/face.jpg",
        f"{root}/text.jpg/more",
        f"{root}/a\0b.jpg",
        f"{root}/{'a' * 300}.jpg",
        "/" + "a/" * 5000,
        str(root),
        "/",
        "/dev/zero",
        "/dev/stdin",
        "/etc/passwd",
        "/proc/self/environ",
        "/proc/self/root/etc/passwd",
        "face.jpg",
        "../outside/face.jpg",
        "~/face.jpg",
        f"file://{root}/face.jpg",
        "http://127.0.0.1/face.jpg",
        " ",
    ]
    async with serving(image_roots=(str(root),), pictures=PictureSettings(max_bytes=40_000)) as site:
        answers = {path: await site.match(image_file_path=path, rgb_image_base64=...) for path in paths}
        assert {path: reply.code for path, reply in answers.items()} == dict.fromkeys(paths, 40003)
        assert len({reply.body for reply in answers.values()}) == 1
        assert site.requests == []
    listener.close()


async def test_without_roots_no_path_is_served(serving: Serving, root: Path, picture: bytes) -> None:
    (root / "face.jpg").write_bytes(picture)
    async with serving(image_roots=()) as site:
        assert (await site.match(image_file_path=str(root / "face.jpg"))).code == 40003


def test_what_is_exchanged_between_check_and_opening_leads_nowhere(
    root: Path, picture: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = root.parent / "outside" / "secret.jpg"
    secret.write_bytes(b"secret")
    (root / "a").mkdir()
    victim = root / "a" / "face.jpg"
    victim.write_bytes(picture)
    resolve = os.path.realpath

    def resolve_then_exchange_the_file(path: str) -> str:
        resolved = resolve(path)
        if resolved == str(victim):
            victim.unlink()
            victim.symlink_to(secret)
        return resolved

    def resolve_then_exchange_the_folder(path: str) -> str:
        resolved = resolve(path)
        if resolved == str(victim):
            (root / "a").rename(root / "b")
            (root / "a").symlink_to(root.parent / "outside")
        return resolved

    assert read_picture_file(str(victim), [str(root)], 100_000) == picture
    for exchange in (resolve_then_exchange_the_file, resolve_then_exchange_the_folder):
        monkeypatch.setattr("ingest.paths.os.path.realpath", exchange)
        with pytest.raises(Exception, match="image_file_path does not name"):
            read_picture_file(str(victim), [str(root)], 100_000)
        monkeypatch.undo()
        if victim.is_symlink():
            victim.unlink()
            victim.write_bytes(picture)
    assert (root / "a").is_symlink(), "the second exchange took place"


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_reading_leaves_no_descriptor_open(root: Path, picture: bytes) -> None:
    (root / "face.jpg").write_bytes(picture)
    (root / "folder.jpg").mkdir()
    before = open_descriptors()
    for _ in range(5):
        assert read_picture_file(str(root / "face.jpg"), [str(root)], 100_000) == picture
        for name in ("missing.jpg", "folder.jpg", "folder.jpg/x"):
            with pytest.raises(Exception, match="image_file_path does not name"):
                read_picture_file(str(root / name), [str(root)], 100_000)
    assert open_descriptors() == before


async def test_a_file_system_that_hangs_is_a_timeout(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr("ingest.pictures.read_picture_file", lambda *args: release.wait(5) and b"")
    async with serving(deadline_ms=150) as hanging:
        assert (await hanging.match(image_file_path="/data/face.jpg")).code == 50480
        release.set()
        await until(lambda: hanging.metric("picturematch_http_in_flight") == 0)


async def send_path(site: Site, call: Declaration, field: str, path: str, **headers: str) -> HttpReply:
    """The reply to a good body of the call that also names a file, which wins over the picture in base64."""
    pictures = {name: site.picture_base64 for name in call.example() if "base64" in name}
    body = {**call.example(), **pictures, field: path}
    return await site.call(call.method, call.path, json=body, headers=headers)


def error_of(reply: HttpReply) -> tuple[object, str]:
    """The number or the name of the error, and its message."""
    error = reply.json["error"]
    return error["code"], error["message"]


@pytest.mark.parametrize(("call", "field"), BY_PATH)
async def test_a_caller_from_beyond_without_a_key_names_no_file_whether_or_not_it_exists(
    serving: Serving, root: Path, picture: bytes, call: Declaration, field: str
) -> None:
    (root / "face.jpg").write_bytes(picture)
    async with serving(image_roots=(str(root),), **AWAY) as site:
        replies = [await send_path(site, call, field, str(root / name)) for name in ("face.jpg", "none.jpg")]
        assert [reply.status for reply in replies] == [400, 400]
        (refused,) = {error_of(reply) for reply in replies}
        assert refused[0] == ("INVALID_ARGUMENTS" if call.dialect is Dialect.V6 else 40071)
        assert refused[1].startswith(f"{field} is only for callers from a trusted network or with an API key")
        assert "send the picture as base64 in " in refused[1]
        assert not site.requests


@pytest.mark.parametrize(("call", "field"), BY_PATH)
async def test_a_caller_from_a_trusted_network_names_files_and_so_does_one_with_a_key(
    serving: Serving, root: Path, picture: bytes, call: Declaration, field: str
) -> None:
    (root / "face.jpg").write_bytes(picture)
    async with serving(image_roots=(str(root),)) as site:
        assert (await send_path(site, call, field, str(root / "face.jpg"))).status == 200
        assert (await send_path(site, call, field, str(root / "face.jpg"), **{"X-API-Key": "old"})).status == 200
    async with serving(image_roots=(str(root),), **AWAY) as site:
        record = KeyRecord(key_id="k", name="gate", role="device", sha256=digest(KEY.encode()), created_s=1.0)
        site.people.site = site.people.site.put(record)
        assert (await send_path(site, call, field, str(root / "face.jpg"), **{"X-API-Key": KEY})).status == 200


async def test_a_wrong_key_that_is_sent_with_a_path_is_counted_as_a_guess(serving: Serving, root: Path) -> None:
    def wrong(site: Site) -> float:
        return site.metric("picturematch_http_keys_refused_total", reason="wrong")

    async with serving(image_roots=(str(root),), **AWAY) as site:
        headers = {"X-API-Key": "wrong"}
        reply = await site.call("POST", MATCH_PATH, json=site.body(image_file_path="/x.jpg"), headers=headers)
        assert (error_of(reply)[0], wrong(site)) == (40071, 1.0)
        assert (await site.call("POST", MATCH_PATH, json=site.body(), headers=headers)).code == 200
        assert wrong(site) == 1.0, "a call that names no file does not look at the key"


async def test_an_empty_path_is_no_path_for_anybody(serving: Serving) -> None:
    async with serving(**AWAY) as site:
        assert (await site.match(image_file_path="")).code == 200
        body = {"rgb_image_path": "", "rgb_image_base64": site.picture_base64}
        assert (await site.call("POST", f"{V6_PATH}/search", json=body)).status == 200


async def test_a_caller_through_an_unknown_proxy_names_no_file(serving: Serving, root: Path, picture: bytes) -> None:
    (root / "face.jpg").write_bytes(picture)
    async with serving(image_roots=(str(root),)) as site:
        body = site.body(image_file_path=str(root / "face.jpg"))
        through = await site.call("POST", MATCH_PATH, json=body, headers={"X-Forwarded-For": "203.0.113.7"})
        assert through.code == 40071
