"""The data folder: creates it, and lets only its owner enter it, because its files contain faces."""

import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from broker.embedded.store import LOG_FILE
from broker.port import BrokerError

_log = logging.getLogger(__name__)

_OTHERS = 0o077


RESTORED_FILE = f"{LOG_FILE}-restored"
"""The name of a restored log until the file is whole and the former log is moved aside."""

REWRITTEN_FILE = f"{LOG_FILE}-rewritten"
"""The name of a log that is written anew until it is whole and replaces the former file."""


def refuse_half_restored(folder: Path) -> None:
    """Check that no restore was broken off after it moved the former log aside and before it renamed the new one.

    Raises:
        BrokerError: a restore was broken off there; a server would begin an empty log.
    """
    if (folder / RESTORED_FILE).exists() and not (folder / LOG_FILE).exists():
        raise BrokerError(
            f"a restore of the log in {folder} was broken off: run `picturematch log restore` again, or move"
            f" {LOG_FILE} back from the newest folder replaced-*"
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
