"""Reads a picture file that a request names by path, and never a file outside the configured roots.

Only callers who need no key or have one may name a file (ingest.auth.TO_READ_FILES), because the answers to paths show
which pictures there are.

A path is resolved first and must lie under a root. Then it is opened again, component by component from the root's
descriptor and without following symbolic links, so that a component that was replaced in between cannot lead outside
the root. Only regular files are opened. Every failure returns the same refusal, which does not reveal whether a file
exists.
"""

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from contract.errors import Code, Refused

# PATH_MAX. The time to resolve a path grows with the square of its length, and a body can contain a path of megabytes.
_MAX_PATH_CHARS = 4096
_PASS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
# A FIFO that replaces a regular file must not block the thread.
_FILE = _PASS | os.O_NONBLOCK
_FOLDER = _PASS | os.O_DIRECTORY


PATH_FIELD = "image_file_path"


def path_refused(field: str = PATH_FIELD) -> Refused:
    """Return the refusal of any failure of the path in a field."""
    return Refused(Code.IMAGE_ERROR, f"{field} does not name a picture that may be read", "path")


def read_picture_file(path: str, roots: Sequence[str], max_bytes: int, field: str = PATH_FIELD) -> bytes:
    """Return the content of a picture file under one of the roots. Blocks; call it in a thread.

    Raises:
        Refused: 40003, with the same message for all reasons.
    """
    try:
        if len(path) > _MAX_PATH_CHARS or not path.startswith("/") or "\x00" in path:
            raise path_refused(field)
        resolved = Path(os.path.realpath(path))
        for root in roots:
            resolved_root = Path(os.path.realpath(root))
            if resolved_root in resolved.parents:
                return _read_below(resolved_root, resolved.relative_to(resolved_root).parts, max_bytes)
    except (OSError, ValueError, RuntimeError):
        # ValueError: a path that is invalid in any file system, or a refused file. RuntimeError: a loop of links.
        pass
    raise path_refused(field)


def _read_below(root: Path, parts: Sequence[str], max_bytes: int) -> bytes:
    folder = os.open(root, _FOLDER)
    try:
        for part in parts[:-1]:
            inner = os.open(part, _FOLDER, dir_fd=folder)
            os.close(folder)
            folder = inner
        # The file is checked before it is opened, because opening a device may already have an effect.
        _check(os.stat(parts[-1], dir_fd=folder, follow_symlinks=False), max_bytes)
        file = os.open(parts[-1], _FILE, dir_fd=folder)
    finally:
        os.close(folder)
    with os.fdopen(file, "rb") as stream:
        _check(os.fstat(stream.fileno()), max_bytes)
        data = stream.read(max_bytes + 1)
    if not 0 < len(data) <= max_bytes:
        raise ValueError("a picture file is neither empty nor over the limit")
    return data


def _check(facts: os.stat_result, max_bytes: int) -> None:
    if not stat.S_ISREG(facts.st_mode) or not 0 < facts.st_size <= max_bytes:
        raise ValueError("a picture file is a regular file, neither empty nor over the limit")
