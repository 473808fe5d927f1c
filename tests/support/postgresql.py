"""A PostgreSQL server of a test's own, from the Debian package, which initdb does not let root run."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.programs import needed

_USER = "postgres"


def programs_of_postgresql() -> Path | None:
    """Return the folder of the programs of PostgreSQL, or None where it is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


needs_postgresql = needed(None if programs_of_postgresql() else "initdb is not installed (Debian package postgresql)")


def as_user(command: Sequence[str | Path]) -> Sequence[str | Path]:
    """Return the command as the user of PostgreSQL runs it, where this process is root."""
    return (
        ("setpriv", f"--reuid={_USER}", f"--regid={_USER}", "--init-groups", *command) if os.geteuid() == 0 else command
    )


def new_cluster(folder: Path, user: str) -> Path:
    """Make a cluster of databases without a password in `folder`, which is given to who may run it; return its data.

    `user`: the owner of all databases.
    """
    programs = programs_of_postgresql()
    assert programs is not None
    folder.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        owner = pwd.getpwnam(_USER)
        os.chown(folder, owner.pw_uid, owner.pw_gid)
    data = folder / "pg"
    words = as_user([programs / "initdb", "-D", data, "-A", "trust", "-U", user, "-E", "UTF8"])
    subprocess.run(words, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return data


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """Yield the URL of an empty database; the server ends with the context.

    `folder`: an empty folder, whose path must be short, since a Unix socket is made in it.
    """
    new_cluster(folder, "events")
    _start(folder)
    try:
        yield f"postgresql://events@/postgres?host={folder}"
    finally:
        _stop(folder)


@contextmanager
def crashed(folder: Path) -> Iterator[None]:
    """Let the server of `postgresql` be as after a crash while the context is open, and then start it again."""
    _stop(folder)
    try:
        yield
    finally:
        _start(folder)


def _start(folder: Path) -> None:
    options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
    _control(folder, "-o", options, "-l", folder / "log", "start")


def _stop(folder: Path) -> None:
    _control(folder, "-m", "immediate", "stop")


def _control(folder: Path, *words: str | Path) -> None:
    programs = programs_of_postgresql()
    assert programs is not None
    command = as_user([programs / "pg_ctl", "-D", folder / "pg", "-w", *words])
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
