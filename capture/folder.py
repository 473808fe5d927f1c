"""Writes a capture (contract.captures) into a private folder, which can be continued; each picture is stored once."""

import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from msgspec import structs

from capture.files import MOST_MANIFEST_BYTES, open_file, read_file, require_own_folder
from capture.replacement import Replacement, finish_replacement
from capture.sealed_file import SealedFile
from clients.picture_file import MAX_PICTURE_BYTES
from contract.captures.convert import (
    ACCEPTED_FOLDER,
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
    picture_file,
)
from contract.captures.sealed import M, SealedReader, lines_of
from contract.captures.values import VERSION, CaptureError, CaptureLine, ConfigLine, Manifest, PeopleLine
from contract.events import RequestPlace
from contract.files import (
    HALF_WRITTEN,
    cannot_be_written,
    sync_filesystem,
    sync_folder,
    try_lock,
    write_new,
    write_whole,
)
from contract.pictures.digest import picture_digest

MOST_UNSYNCED = 2000
"""After so many lines their pictures are made durable, all at once: syncing each costs as much as recording it."""


@dataclass(frozen=True, slots=True)
class NamedPicture:
    """A picture (its sha256), the number of the line of requests.jsonl that names it, and the request's place."""

    sha256: str
    number: int
    place: RequestPlace | None


class CaptureFolder:
    """A capture that is being written, which is new or continued. Synchronous; only one process may write to it.

    Pictures are written before the line that names them, so that a capture is readable also after a crash of the
    process. A crash of the machine may damage pictures behind the mark `durable` of the manifest: `damaged` yields
    them, and whoever continues the capture stores them again.
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
        self._durable, self._unsynced = 0, False
        self._named: list[NamedPicture] = []
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
                self._sync_pictures()
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
                    ended = structs.replace(self._manifest, complete=True, files=seals, durable=0)
                    if ended != self._manifest:
                        self.describe(complete=True, files=seals, durable=0)
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

    def lines(self) -> Iterator[CaptureLine]:
        """Yield the requests that the capture has.

        Raises:
            CaptureError: a line is damaged.
        """
        return self._read(REQUESTS_FILE, CaptureLine)

    def people(self) -> Iterator[PeopleLine]:
        """Yield the records of the people topic that the capture has.

        Raises:
            CaptureError: a line is damaged.
        """
        return self._read(PEOPLE_FILE, PeopleLine)

    def _read(self, name: str, kind: type[M]) -> Iterator[M]:
        with open_file(self._folder, name) as file:
            for _, line in SealedReader(name, kind).read(lines_of(file)):
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
        """Store a picture durably, as a photo that no request names must be; return its sha256 (hex)."""
        with self._writing():
            name = self._keep(picture)
            with open_file(self._folder, picture_file(name)) as file:
                os.fsync(file.fileno())
            sync_folder(self._folder / PICTURES_FOLDER)
        return name

    def keep_pictures(self, pictures: Sequence[bytes]) -> Sequence[str]:
        """Store pictures, unless they are stored already, and return the sha256 (hex) of each.

        The pictures become durable some time after the lines that name them, and at the end of the `with` block.
        """
        with self._writing():
            return [self._keep(picture) for picture in pictures]

    def _keep(self, picture: bytes) -> str:
        name = picture_digest(picture)
        path = f"{self._pictures}{name}.jpg"
        self._unsynced = True
        if not write_new(path, picture) and not self._is_whole(name):
            self.drop_picture(name)  # a crash left a part of it
            write_new(path, picture)
        return name

    def _is_whole(self, sha256: str) -> bool:
        try:
            return picture_digest(read_file(self._folder, picture_file(sha256), MAX_PICTURE_BYTES)) == sha256
        except CaptureError:
            return False

    def drop_picture(self, sha256: str) -> None:
        """Remove a picture, if it is stored: a reader then reports it as missing."""
        with self._writing():
            (self._folder / picture_file(sha256)).unlink(missing_ok=True)

    def damaged(self) -> Iterator[NamedPicture]:
        """Yield the pictures that a crash of the machine has damaged, by the lines that name them.

        Only lines that the capture had when it was opened, and behind the manifest's mark `durable`, are processed.
        """
        for named in self._named if self._manifest.pictures else ():
            if not self._is_whole(named.sha256):
                yield named

    def append(self, lines: Sequence[CaptureLine]) -> None:
        """Append lines whose pictures are stored; the lines are durable when this method returns."""
        if self._requests is None:
            raise ValueError("the capture folder is not open")
        self._begin_to_write()
        with self._writing():
            self._requests.append(lines)
        if self.count - self._durable >= MOST_UNSYNCED:
            self._sync_pictures()
            self.describe(durable=self._durable)

    def _sync_pictures(self) -> None:
        """Make all pictures durable."""
        if self._lock is not None and (self._unsynced or self._durable < self.count):
            with self._writing():
                sync_filesystem(self._lock)
            self._durable, self._unsynced = self.count, False

    @contextmanager
    def replacing_requests(self) -> Iterator[Replacement]:
        """Yield new requests; at the end of the block they replace the present ones, unless they were dropped.

        After a crash, and after an error while they replace the present ones, the capture has either all present or
        all new ones. After another error it has the present ones, and can be written to.
        """
        self._sync_pictures()
        with self._writing():
            new = Replacement(self._folder)
            try:
                yield new
                if not new.is_dropped:
                    self._manifest = new.put_into_force(self._manifest)
                    self._close_files()
                    self._open_files()
            finally:
                new.close()

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
            self.describe(complete=False, files={}, durable=self._durable)

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
        require_own_folder(self._folder, ACCEPTED_FOLDER)
        finish_replacement(self._folder)
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
        self._named = []
        self._requests = SealedFile(self._folder / REQUESTS_FILE, CaptureLine, seals.get(REQUESTS_FILE))
        self._people = SealedFile(self._folder / PEOPLE_FILE, PeopleLine, seals.get(PEOPLE_FILE))
        self._configs = SealedFile(self._folder / CONFIGS_FILE, ConfigLine, seals.get(CONFIGS_FILE))
        self._last = last_lines(self._note_pictures(self._requests.lines()))
        self._durable = self.count if self._manifest.complete else min(self._manifest.durable, self.count)
        self._last_people_offset = next((line.offset for _, line in deque(self._people.lines(), maxlen=1)), None)
        self._config_keys = {line.key for _, line in self._configs.lines()}

    def _note_pictures(self, lines: Iterable[tuple[int, CaptureLine]]) -> Iterator[tuple[int, CaptureLine]]:
        """Yield the lines, and note the pictures that are not known to be durable."""
        for number, line in lines:
            if not self._manifest.complete and number > self._manifest.durable:
                names = line.request.all_pictures
                self._named += (NamedPicture(name, number, line.place) for name in names)
            yield number, line

    def _close(self) -> None:
        self._close_files()
        if self._lock is not None:
            os.close(self._lock)
        self._lock = None

    def _close_files(self) -> None:
        for file in (self._requests, self._people, self._configs):
            if file is not None:
                file.close()
        self._requests = self._people = self._configs = None
