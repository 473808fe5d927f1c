"""Writes a capture (contract.captures) into a private folder, which can be continued; each picture is stored once."""

import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from msgspec import structs

from capture.files import MOST_MANIFEST_BYTES, open_file, read_file, require_own_folder
from capture.sealed_file import SealedFile
from contract.captures.convert import (
    CONFIGS_FILE,
    LOOKS_FOLDER,
    MANIFEST_FILE,
    PEOPLE_FILE,
    PICTURES_FOLDER,
    REQUESTS_FILE,
    format_manifest,
    last_lines,
    new_manifest,
    parse_manifest,
)
from contract.captures.sealed import SealedReader, lines_of
from contract.captures.values import VERSION, CaptureError, CaptureLine, ConfigLine, Manifest, PeopleLine
from contract.files import HALF, HALF_WRITTEN, cannot_be_written, sync_folder, try_lock, write_many, write_whole
from contract.pictures.digest import picture_digest


class CaptureFolder:
    """A capture that is being written, which is new or continued. Synchronous; only one process may write to it.

    Pictures are complete before the line that names them is written, so that a capture is readable also after a crash.
    The capture is complete when the `with` block ends without an error.

    Raises:
        CaptureError: the folder contains something else than a capture, another process writes to it, or it cannot be
            written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pictures = f"{folder / PICTURES_FOLDER}/"
        self._manifest = new_manifest()
        self._last: Mapping[int, CaptureLine] = {}
        self._last_people_offset: int | None = None
        self._config_keys: set[str] = set()
        self._lock: int | None = None
        self._requests: SealedFile[CaptureLine] | None = None
        self._people: SealedFile[PeopleLine] | None = None
        self._configs: SealedFile[ConfigLine] | None = None

    def __enter__(self) -> Self:
        with self._writing():
            if self._folder.is_dir() and not (self._folder / MANIFEST_FILE).exists() and self._has_other_files():
                raise CaptureError(f"{self._folder} is not empty and not a capture; choose an empty folder")
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                self._open()
            except BaseException:
                self._close()
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                with self._writing():
                    seals = {
                        name: file.seal
                        for name, file in (
                            (REQUESTS_FILE, self._requests),
                            (PEOPLE_FILE, self._people),
                            (CONFIGS_FILE, self._configs),
                        )
                        if file is not None
                    }
                    self.describe(complete=True, files=seals)
        finally:
            self._close()

    @property
    def manifest(self) -> Manifest:
        """The manifest as it is written now."""
        return self._manifest

    @property
    def count(self) -> int:
        """The number of requests that the capture has."""
        return 0 if self._requests is None else self._requests.seal.lines

    @property
    def last_lines(self) -> Mapping[int, CaptureLine]:
        """Partition of the requests topic -> the partition's last captured line, after which recording continues."""
        return self._last

    @property
    def last_people_offset(self) -> int | None:
        """The offset of the last record of the people topic that the capture has; None: it has none."""
        return self._last_people_offset

    def people(self) -> Iterator[PeopleLine]:
        """Yield the records of the people topic that the capture has.

        Raises:
            CaptureError: a line is damaged.
        """
        with open_file(self._folder, PEOPLE_FILE) as file:
            for _, line in SealedReader(PEOPLE_FILE, PeopleLine).read(lines_of(file)):
                yield line

    @property
    def config_keys(self) -> frozenset[str]:
        """The keys of the policies and model sets that the capture has."""
        return frozenset(self._config_keys)

    def describe(self, **fields: Any) -> None:
        """Change fields of the manifest, durably and atomically."""
        manifest = structs.replace(self._manifest, **fields)
        if self._lock is None:
            raise ValueError("the capture folder is not open")
        with self._writing():
            write_whole(self._folder / MANIFEST_FILE, format_manifest(manifest))
        self._manifest = manifest

    def keep_picture(self, picture: bytes) -> str:
        """Store a picture, unless it is stored already, and return its sha256 (hex)."""
        return self.keep_pictures([picture])[0]

    def keep_pictures(self, pictures: Sequence[bytes]) -> Sequence[str]:
        """Store pictures, unless they are stored already, and return the sha256 (hex) of each."""
        names = [picture_digest(picture) for picture in pictures]
        missing = {f"{name}.jpg": data for name, data in zip(names, pictures, strict=True) if not self._has(name, data)}
        with self._writing():
            # `append` makes the names durable before it writes a line that names a picture.
            write_many(self._folder / PICTURES_FOLDER, missing)
        return names

    def _has(self, name: str, picture: bytes) -> bool:
        """Return whether the picture is stored as a whole; a crash may have left a part of it."""
        try:
            return Path(f"{self._pictures}{name}.jpg").lstat().st_size == len(picture)
        except FileNotFoundError:
            return False

    def append(self, lines: Sequence[CaptureLine]) -> None:
        """Append lines whose pictures are stored; the lines are durable when this method returns."""
        if self._requests is None:
            raise ValueError("the capture folder is not open")
        self._begin_to_write()
        with self._writing():
            sync_folder(self._folder / PICTURES_FOLDER)
            self._requests.append(lines)

    @contextmanager
    def replacing_requests(self) -> Iterator[SealedFile[CaptureLine]]:
        """Yield a new file of requests; at the end of the block it replaces the present one, atomically.

        After an error the present one stays.
        """
        path = self._folder / f"{REQUESTS_FILE}{HALF}"
        with self._writing():
            path.unlink(missing_ok=True)
            new = SealedFile(path, CaptureLine)
        try:
            with self._writing():
                yield new
                self._begin_to_write()
                path.replace(self._folder / REQUESTS_FILE)
                sync_folder(self._folder)
        except BaseException:
            new.close()
            path.unlink(missing_ok=True)
            raise
        if self._requests is not None:
            self._requests.close()
        self._requests = new

    def append_people(self, lines: Sequence[PeopleLine]) -> None:
        """Append records of the people topic, in the order of their offsets; durable when this method returns."""
        if self._people is None:
            raise ValueError("the capture folder is not open")
        self._begin_to_write()
        with self._writing():
            self._people.append(lines)
        if lines:
            self._last_people_offset = lines[-1].offset

    def append_configs(self, lines: Sequence[ConfigLine]) -> None:
        """Append policies and model sets that the capture does not have yet; durable when this method returns."""
        if self._configs is None:
            raise ValueError("the capture folder is not open")
        self._begin_to_write()
        with self._writing():
            self._configs.append(lines)
        self._config_keys.update(line.key for line in lines)

    def _begin_to_write(self) -> None:
        """Note that the capture is not complete now; before that, a capture that is only opened stays as it was."""
        if self._manifest.complete:
            self.describe(complete=False, files={})

    def _has_other_files(self) -> bool:
        # A crash may have left the first manifest half-written.
        return any(not path.match(HALF_WRITTEN) for path in self._folder.iterdir())

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise CaptureError(cannot_be_written(self._folder, error)) from error

    def _open(self) -> None:
        self._lock = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        if not try_lock(self._lock):
            raise CaptureError(f"another process writes to {self._folder}; stop it or choose another folder")
        if (self._folder / MANIFEST_FILE).exists():
            self._manifest = parse_manifest(read_file(self._folder, MANIFEST_FILE, MOST_MANIFEST_BYTES))
            if self._manifest.version != VERSION:
                raise CaptureError(
                    f"{self._folder} is a capture of format version {self._manifest.version}, which this program can "
                    "read but not continue; record into another folder"
                )
        for name in (PICTURES_FOLDER, LOOKS_FOLDER):
            require_own_folder(self._folder, name)
        pictures = self._folder / PICTURES_FOLDER
        pictures.mkdir(mode=0o700, exist_ok=True)
        for half in (*self._folder.glob(HALF_WRITTEN), *pictures.glob(HALF_WRITTEN)):
            half.unlink()
        self._open_files()
        if not (self._folder / MANIFEST_FILE).exists():
            self.describe()
        sync_folder(self._folder)

    def _open_files(self) -> None:
        seals = self._manifest.files if self._manifest.complete else {}
        self._requests = SealedFile(self._folder / REQUESTS_FILE, CaptureLine, seals.get(REQUESTS_FILE))
        self._people = SealedFile(self._folder / PEOPLE_FILE, PeopleLine, seals.get(PEOPLE_FILE))
        self._configs = SealedFile(self._folder / CONFIGS_FILE, ConfigLine, seals.get(CONFIGS_FILE))
        self._last = last_lines(self._requests.lines())
        self._last_people_offset = next((line.offset for _, line in deque(self._people.lines(), maxlen=1)), None)
        self._config_keys = {line.key for _, line in self._configs.lines()}

    def _close(self) -> None:
        for file in (self._requests, self._people, self._configs):
            if file is not None:
                file.close()
        if self._lock is not None:
            os.close(self._lock)
        self._lock = self._requests = self._people = self._configs = None
