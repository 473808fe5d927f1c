"""The data folder: creates it, and lets only its owner enter it, because its files contain faces."""

import contextlib
import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from broker.embedded.store import LOG_FILE
from broker.port import BrokerError

_log = logging.getLogger(__name__)

_OTHERS = 0o077


def log_file(folder: Path) -> Path:
    """Return the real path of the log's file: where `LOG_FILE` is a symbolic link, the path of its target."""
    return (folder / LOG_FILE).resolve()


def restored_file(folder: Path) -> Path:
    """Return the path of a restored log until the file is whole and the former log is moved aside."""
    return _beside(folder, "restored")


def rewritten_file(folder: Path) -> Path:
    """Return the path of a log that is written anew until it is whole and replaces the former file."""
    return _beside(folder, "rewritten")


def _beside(folder: Path, word: str) -> Path:
    """Return a path beside the log's real file, on the same file system, so that one rename replaces the log."""
    path = log_file(folder)
    return path.with_name(f"{path.name}-{word}")


def hand_over(folder: Path) -> None:
    """Give what root created in the folder of another user to that user, whose server must be able to open it."""
    owner = folder.stat()
    if os.geteuid() != 0 or owner.st_uid == 0:
        return
    made = (folder / "log.lock", folder / "groups", *log_file(folder).parent.glob("replaced-*"))
    for path in (each for top in made for each in (top, *top.rglob("*"))):
        with contextlib.suppress(FileNotFoundError):
            if path.lstat().st_uid == 0:
                os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def refuse_half_restored(folder: Path) -> None:
    """Check that no restore was broken off after it moved the former log aside and before it renamed the new one.

    Raises:
        BrokerError: a restore was broken off there; a server would begin an empty log.
    """
    if restored_file(folder).exists() and not (folder / LOG_FILE).exists():
        raise BrokerError(
            f"a restore of the log in {folder} was broken off: run `picturematch log restore` again, or move"
            f" {log_file(folder)} back from the newest folder replaced-* beside it"
        )


def make_private(folder: Path) -> None:
    """Create the folder if it is missing; remove the rights of other users on the folder and on the log's files.

    Raises:
        BrokerError: the folder cannot be created; or other users have rights on it that this process may not remove.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _close(folder)
        (folder / "groups").mkdir(exist_ok=True, mode=0o700)
        for path in _files(folder):
            if path.lstat().st_mode & _OTHERS and not path.is_symlink():
                path.chmod(0o700 if path.is_dir() else 0o600)
    except OSError as error:
        raise BrokerError(
            f"the data folder {folder} cannot be created ({error.strerror}): choose another data folder"
        ) from error


def _close(folder: Path) -> None:
    found = folder.stat()
    mode = stat.S_IMODE(found.st_mode)
    if not mode & _OTHERS:
        return
    if found.st_uid != os.geteuid():
        raise BrokerError(
            f"the data folder {folder} is open to others (mode {mode:04o}) and belongs to user {found.st_uid}:"
            f" use a folder of your own, such as {folder / 'picturematch'}, or ask its owner to `chmod 700` it"
        )
    if not (folder / LOG_FILE).exists() and any(folder.iterdir()):
        raise BrokerError(
            f"the data folder {folder} is open to others (mode {mode:04o}) and contains other files than a log's:"
            f" use a folder for the log alone, such as {folder / 'picturematch'}, or `chmod 700` this one"
        )
    folder.chmod(0o700)
    _log.warning("the data folder %s was open to others (mode %04o); now only its owner may enter it", folder, mode)


def _files(folder: Path) -> Iterator[Path]:
    """The files and folders of the log that are in the data folder already."""
    yield from folder.glob(f"{LOG_FILE}*")
    yield from folder.glob("log.lock")
    yield from folder.glob("replaced-*")
    yield folder / "groups"
    yield from (folder / "groups").iterdir()
