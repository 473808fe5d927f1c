"""A state file of a long command: what is done, so that a later run goes on where an earlier one ended.

A line of JSON is appended, and synced, for each step that is done. A line that a crash cut off is ignored; its step is
done again.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from clients.errors import CannotRun
from contract.files import try_lock


class StateFile(ABC):
    """The state of one run of a command and of the runs that go on with it; enter it to read and append to its file.

    `work`: what the command does, as a noun, for messages. `about`: the first line of the file, by which another
    command's state is noticed; a value of JSON.

    Raises (on entering):
        CannotRun: the file is not the state of this work, is damaged, or is used by another process.
        OSError: the file cannot be read or written.
    """

    def __init__(self, path: Path, work: str, about: Mapping[str, Any]) -> None:
        self._path = path
        self._work = work
        self._about = about

    def __enter__(self) -> Self:
        self._file = os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "r+b")
        try:
            self._read()
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def remove(self) -> None:
        """Delete the file, after the work has come to its end."""
        self._path.unlink()

    @abstractmethod
    def _take(self, line: Any) -> None:
        """Add what a line that was read says.

        Raises:
            AttributeError, KeyError, TypeError, ValueError: no such line was ever written.
        """

    @abstractmethod
    def _belongs_elsewhere(self) -> str:
        """Return what to say where the file is not the state of this work."""

    def _append(self, line: Mapping[str, Any]) -> None:
        self._file.write(orjson.dumps(line) + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def _read(self) -> None:
        if not try_lock(self._file.fileno()):
            raise CannotRun(f"another {self._work} uses {self._path}; name another file with --state")
        written = self._file.read()
        whole = written[: written.rfind(b"\n") + 1]
        lines = whole.splitlines()
        begun = orjson.dumps(self._about).startswith(written)  # a crash cut off the first line
        if not begun and (not lines or not self._is_about(lines[0])):
            raise CannotRun(self._belongs_elsewhere())
        for line in lines[1:]:
            try:
                self._take(orjson.loads(line))
            except (AttributeError, KeyError, TypeError, ValueError):
                raise CannotRun(f"{self._path} is damaged; delete it, and the {self._work} begins anew") from None
        self._file.truncate(len(whole))
        self._file.seek(len(whole))
        if not lines:
            self._append(self._about)

    def _is_about(self, line: bytes) -> bool:
        try:
            return bool(orjson.loads(line) == self._about)
        except orjson.JSONDecodeError:
            return False
