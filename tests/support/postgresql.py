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


def _programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


needs_postgresql = needed(None if _programs() else "initdb is not installed (Debian package postgresql)")


def _as_user(command: Sequence[str | Path]) -> Sequence[str | Path]:
    return (
        ("setpriv", f"--reuid={_USER}", f"--regid={_USER}", "--init-groups", *command) if os.geteuid() == 0 else command
    )


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """Yield the URL of an empty database; the server ends with the context.

    `folder`: an empty folder, whose path must be short, since a Unix socket is made in it.
    """
    programs = _programs()
    assert programs is not None
    data = folder / "pg"
    folder.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        user = pwd.getpwnam(_USER)
        os.chown(folder, user.pw_uid, user.pw_gid)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder, "check": True}
    subprocess.run(_as_user([programs / "initdb", "-D", data, "-A", "trust", "-U", "events", "-E", "UTF8"]), **quiet)  # type: ignore[call-overload]
    options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
    control = [programs / "pg_ctl", "-D", data, "-w"]
    subprocess.run(_as_user([*control, "-o", options, "-l", folder / "log", "start"]), **quiet)  # type: ignore[call-overload]
    try:
        yield f"postgresql://events@/postgres?host={folder}"
    finally:
        subprocess.run(_as_user([*control, "-m", "immediate", "stop"]), **quiet)  # type: ignore[call-overload]
