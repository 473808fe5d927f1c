"""Keeps what a replay has computed from pictures beside its capture, so that the next replay need not compute it."""

import os
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from capture.files import require_own_folder
from capture.sealed_file import SealedFile
from contract.captures.convert import LOOKS_FOLDER, looks_file
from contract.captures.values import CaptureError, LookLine
from contract.files import sync_folder, try_lock

DELETE_IT = "delete the file, and a replay computes what it contained again"


class LooksFile:
    """The file of a model set's looks, open for appending. Synchronous; `CaptureReader.looks` reads it.

    Where the file cannot be written, because the capture is read-only, the disk is full or another process appends,
    looks are not kept, which is no error.

    Raises:
        CaptureError: `model_set` is not the id of a model set, or the present file is damaged.
    """

    def __init__(self, folder: Path, model_set: str) -> None:
        self._folder, self._name = folder, looks_file(model_set)
        self._file: SealedFile[LookLine] | None = None
        self._open = ExitStack()

    def __enter__(self) -> Self:
        require_own_folder(self._folder, LOOKS_FOLDER)
        with self._open, suppress(OSError):
            if self._lock(self._folder / LOOKS_FOLDER):
                file = SealedFile(self._folder / self._name, LookLine)
                self._open.callback(file.close)
                self._read_to_end(file)
                sync_folder(self._folder / LOOKS_FOLDER)
                self._file = file
            self._open = self._open.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file = None
        self._open.close()

    @property
    def keeps(self) -> bool:
        """Whether looks are kept."""
        return self._file is not None

    def append(self, looks: Sequence[LookLine]) -> None:
        """Append looks, which are durable when this method returns, unless looks are not kept."""
        if self._file is None:
            return
        try:
            self._file.append(looks)
        except OSError:
            self._file = None

    def _lock(self, folder: Path) -> bool:
        folder.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        self._open.callback(os.close, descriptor)
        return try_lock(descriptor)

    def _read_to_end(self, file: SealedFile[LookLine]) -> None:
        try:
            for _ in file.lines():
                pass
        except CaptureError as error:
            raise CaptureError(f"{error}; {DELETE_IT}") from error
