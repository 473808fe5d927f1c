"""image_file_path: only under the roots, and every failure looks the same."""

import contextlib
import os
import socket
import threading
from pathlib import Path

import pytest

from contract.pictures.limits import PictureSettings
from contract.requests import MatchRequest
from ingest.paths import read_picture_file
from tests.support.waiting import until
from tests.wire.harness import Serving


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
