"""Rewrite and restore replace the log's real file, with its owner and mode, and refuse where the old contents stay."""

import asyncio
import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from broker.embedded import backup_log, check_log, restore_log, rewrite_log
from broker.embedded.folder import make_private
from broker.embedded.store import LOG_FILE
from broker.port import BrokerError, NewRecord, TopicSpec
from tests.contract.embedded_make import EmbeddedMake
from tests.support.programs import needs_root

SERVICE = 12_345
"""The id of a user and of a group that is not the tests' own."""
as_root = needs_root("only root may give files to another user")


@pytest.fixture
def make(tmp_path: Path) -> EmbeddedMake:
    return EmbeddedMake(tmp_path / "data")


@pytest.fixture
def link(make: EmbeddedMake, tmp_path: Path) -> Path:
    """The target of the symbolic link at the path of the log, which is on another disk."""
    for folder in (make.folder, tmp_path / "big"):
        folder.mkdir(mode=0o700)
    (make.folder / LOG_FILE).symlink_to("../big/real.sqlite")
    return tmp_path / "big" / "real.sqlite"


def write(make: EmbeddedMake, value: bytes) -> None:
    async def work() -> None:
        async with make.open() as broker:
            await broker.ensure_topics((TopicSpec("events", 1),))
            await broker.append([NewRecord("events", b"key", value)])

    asyncio.run(work())


def removed_in_part(make: EmbeddedMake) -> None:
    """Write a log whose file contains, in an unused part, the removed value SECRET."""
    write(make, b"kept")
    path = (make.folder / LOG_FILE).resolve()
    path.write_bytes(path.read_bytes() + b"SECRET".ljust(4096, b"\0"))


def findings(folder: Path) -> list[str]:
    return [found for part in check_log(folder, beside_server=False) for found in part.findings]


def owner_of(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)


def test_a_rewrite_through_a_symbolic_link_replaces_the_target_and_keeps_the_link(
    make: EmbeddedMake, link: Path
) -> None:
    removed_in_part(make)
    assert b"SECRET" in link.read_bytes()
    rewrite_log(make.folder)
    assert (make.folder / LOG_FILE).readlink() == Path("../big/real.sqlite")
    assert [path.name for path in link.parent.iterdir()] == [link.name]
    assert b"SECRET" not in link.read_bytes()
    assert b"kept" in link.read_bytes()
    assert findings(make.folder) == []


def test_a_broken_off_rewrite_beside_the_target_of_a_link_is_deleted_by_the_next_server(
    make: EmbeddedMake, link: Path
) -> None:
    copy = link.with_name(f"{link.name}-rewritten")
    copy.write_bytes(b"faces")
    write(make, b"value")
    assert not copy.exists()


def test_a_restore_through_a_symbolic_link_replaces_the_target_and_keeps_the_former_log(
    make: EmbeddedMake, link: Path, tmp_path: Path
) -> None:
    write(make, b"in the backup")
    backup_log(make.folder, tmp_path / "copy")
    write(make, b"written later")
    aside = restore_log(tmp_path / "copy", make.folder, replace=True)
    assert (make.folder / LOG_FILE).readlink() == Path("../big/real.sqlite")
    assert b"written later" not in link.read_bytes()
    assert aside is not None
    assert aside.parent == link.parent
    assert b"written later" in b"".join(path.read_bytes() for path in aside.iterdir() if path.is_file())
    write(make, b"goes on")


def test_a_log_with_several_hard_links_is_not_rewritten(make: EmbeddedMake, tmp_path: Path) -> None:
    removed_in_part(make)
    (tmp_path / "other").hardlink_to(make.folder / LOG_FILE)
    before = (make.folder / LOG_FILE).stat()
    with pytest.raises(BrokerError, match=r"has 2 hard links.*delete the others"):
        rewrite_log(make.folder)
    assert (make.folder / LOG_FILE).stat() == before
    (tmp_path / "other").unlink()
    rewrite_log(make.folder)
    assert b"SECRET" not in (make.folder / LOG_FILE).read_bytes()


def test_a_log_that_is_mounted_by_itself_is_not_rewritten_and_the_sentence_says_what_to_do(
    make: EmbeddedMake, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed_in_part(make)

    def busy(path: Path, target: Path) -> None:
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    monkeypatch.setattr(Path, "replace", busy)
    with pytest.raises(BrokerError, match="mount its folder instead of the file"):
        rewrite_log(make.folder)
    assert [path.name for path in make.folder.glob(f"{LOG_FILE}*")] == [LOG_FILE]


def restored(folder: Path) -> None:
    backup_log(folder, folder.with_name("copy"))
    restore_log(folder.with_name("copy"), folder, replace=True)


@as_root
@pytest.mark.parametrize("replace", [rewrite_log, restored])
def test_what_root_writes_anew_belongs_to_the_user_of_the_service(
    make: EmbeddedMake, replace: Callable[[Path], None]
) -> None:
    write(make, b"value")
    (make.folder / "log.lock").unlink()
    for path in (make.folder, *make.folder.rglob("*")):
        os.chown(path, SERVICE, SERVICE + 1)
    replace(make.folder)
    assert owner_of(make.folder / LOG_FILE) == (SERVICE, SERVICE + 1, 0o600)
    assert {owner_of(path)[:2] for path in make.folder.rglob("*")} == {(SERVICE, SERVICE + 1)}


@as_root
def test_root_restores_a_lost_log_for_the_user_of_the_folder(make: EmbeddedMake, tmp_path: Path) -> None:
    write(make, b"value")
    backup_log(make.folder, tmp_path / "copy")
    lost = tmp_path / "lost"
    make_private(lost)
    os.chown(lost, SERVICE, SERVICE)
    restore_log(tmp_path / "copy", lost, replace=False)
    assert {owner_of(path)[:2] for path in lost.rglob("*")} == {(SERVICE, SERVICE)}


def test_who_may_not_give_the_new_file_to_the_owner_changes_nothing(
    make: EmbeddedMake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    removed_in_part(make)
    backup_log(make.folder, tmp_path / "copy")
    before = (make.folder / LOG_FILE).stat()
    (make.folder / LOG_FILE).chmod(0o640)

    def forbidden(*_args: object, **_options: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(Path, "chmod", forbidden)
    monkeypatch.setattr("broker.embedded.backup.make_private", lambda folder: None)
    with pytest.raises(BrokerError, match=f"run the command as user {before.st_uid}, or as root"):
        rewrite_log(make.folder)
    with pytest.raises(BrokerError, match=f"run the command as user {before.st_uid}, or as root"):
        restore_log(tmp_path / "copy", make.folder, replace=True)
    assert (make.folder / LOG_FILE).stat().st_ino == before.st_ino
    assert b"SECRET" in (make.folder / LOG_FILE).read_bytes()
    assert not [*make.folder.glob("*-rewritten"), *make.folder.glob("*-restored"), *make.folder.glob("replaced-*")]
