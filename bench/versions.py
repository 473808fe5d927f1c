"""The sources of another version, beside which this one runs."""

import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

_ROOT = Path(__file__).parents[1]


def sources_of(revision: str, folder: Path) -> Path:
    """Put the files of a git revision into the new folder; returns the folder.

    Raises:
        subprocess.CalledProcessError: there is no such revision.
    """
    with tarfile.open(fileobj=BytesIO(_git("archive", "--format=tar", revision))) as archive:
        archive.extractall(folder, filter="data")
    return folder


def newest_release() -> str | None:
    """The newest tag of a released version; None where none was released."""
    tags = _git("tag", "--list", "v*", "--sort=-version:refname").decode().split()
    return tags[0] if tags else None


def _git(*words: str) -> bytes:
    return subprocess.run(["git", *words], cwd=_ROOT, check=True, capture_output=True).stdout  # noqa: S603, S607
