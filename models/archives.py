"""Reads members of package archives (.whl, .zip, .tgz, .tar.gz) by their exact names, and finds files by their sha256.

Nothing is ever unpacked to a path that an archive names: a member stays in memory until its sha256 was checked.
"""

import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO

from models.recipe import sha256_of

MAX_MEMBER_BYTES = 1 << 30
"""The most bytes of a member that are read, so that no archive fills the memory; the largest network in use has a few
dozen megabytes."""


def read_members(archive: Path, names: Iterable[str]) -> Mapping[str, bytes]:
    """Return name -> contents for those of `names` that the archive contains; empty if it is no intact archive."""
    wanted = frozenset(names)
    try:
        if zipfile.is_zipfile(archive):
            return _from_zip(archive, wanted)
        if tarfile.is_tarfile(archive):
            return _from_tar(archive, wanted)
    except (OSError, EOFError, zipfile.BadZipFile, tarfile.TarError, zlib.error, NotImplementedError, RuntimeError):
        return {}
    return {}


def find_in_folder(folder: Path, wanted: Mapping[str, str]) -> Mapping[str, bytes]:
    """Return sha256 -> contents for those wanted files that the folder contains, as files of any name or in archives.

    Args:
        folder: the folder to search, without its sub-folders.
        wanted: sha256 of a file -> the file's name inside its package.
    """
    found: dict[str, bytes] = {}
    for path in sorted(entry for entry in folder.iterdir() if entry.is_file()):
        missing = {sha: name for sha, name in wanted.items() if sha not in found}
        if not missing:
            break
        candidates = list(read_members(path, missing.values()).values())
        if not candidates and path.stat().st_size <= MAX_MEMBER_BYTES:
            candidates = [path.read_bytes()]
        for data in candidates:
            if (sha := sha256_of(data)) in missing:
                found[sha] = data
    return found


def _from_zip(archive: Path, wanted: frozenset[str]) -> dict[str, bytes]:
    with zipfile.ZipFile(archive) as opened:
        members = [member for member in opened.infolist() if member.filename in wanted]
        found = {}
        for member in members:
            with opened.open(member) as stream:
                if (data := _capped(stream)) is not None:
                    found[member.filename] = data
        return found


def _from_tar(archive: Path, wanted: frozenset[str]) -> dict[str, bytes]:
    found = {}
    with tarfile.open(archive) as opened:
        for member in opened:
            if member.name in wanted and member.isreg() and (stream := opened.extractfile(member)) is not None:
                with stream:
                    if (data := _capped(stream)) is not None:
                        found[member.name] = data
            if len(found) == len(wanted):
                break
    return found


def _capped(stream: IO[bytes]) -> bytes | None:
    data = stream.read(MAX_MEMBER_BYTES + 1)
    return data if len(data) <= MAX_MEMBER_BYTES else None
