"""Reads a capture (contract.captures) from its folder, and finds damage."""

import re
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from capture.files import MOST_MANIFEST_BYTES, open_file, read_file, require_own_folder
from capture.looks import DELETE_IT
from capture.pictures import PictureFiles
from clients.picture_file import MAX_PICTURE_BYTES
from contract.captures.convert import (
    ACCEPTED_FOLDER,
    CONFIGS_FILE,
    LOOKS_FOLDER,
    MANIFEST_FILE,
    PEOPLE_FILE,
    PICTURES_FOLDER,
    REQUESTS_FILE,
    looks_file,
    parse_manifest,
    picture_file,
)
from contract.captures.sealed import LONGEST_LINE, M, SealedReader, lines_of
from contract.captures.values import CaptureError, CaptureLine, ConfigLine, FileSeal, LookLine, PeopleLine
from contract.pictures.digest import picture_digest

T = TypeVar("T")

# Also finds a picture that a device named in one of its own fields; whether a picture of the request is missing is then
# decided by the values of the line.
_PICTURE = re.compile(rb'picture"\s*:\s*"([0-9a-f]{64})"')
_FURTHER_PICTURES = re.compile(rb'"further_pictures"\s*:\s*\[([^\]]*)\]')
_SHA256 = re.compile(rb"[0-9a-f]{64}")

MOST_DAMAGE = 100
"""The most sentences about damage that a reader keeps."""


class CaptureReader:
    """A capture in a folder. Synchronous.

    By default the constructor checks every line and finds the file of every picture, so that no damage of a line and no
    missing picture is found later. Only the contents of a picture are first checked when the picture is read, and the
    values of a request, whose checksum is right, when the request is read. With `keep_going` the constructor reads the
    manifest alone: iterators end at the first damage of their file instead of raising an error, and `damage` then
    describes it. With `check` False the constructor reads the manifest alone, and iterators raise errors.

    Attributes:
        manifest: the manifest.
        count: the number of requests; None where it is not known before all are read.
        people_until: the gallery version up to which `people` has yielded whole people; None: there is no such limit.

    Raises:
        CaptureError: the capture is damaged or not complete; the message names the file, the line and the fault. With
            `keep_going`: the folder is no capture, or the manifest is damaged.
    """

    def __init__(self, folder: Path, *, keep_going: bool = False, check: bool = True) -> None:
        self._folder, self._keep_going = folder, keep_going
        self._damage: dict[str, None] = {}
        self._pictures = PictureFiles.of(folder)
        self.people_until: int | None = None
        self.count: int | None = None
        if not folder.is_dir():
            raise CaptureError(f"{folder} is not a folder")
        if not (folder / MANIFEST_FILE).exists():
            raise CaptureError(f"{folder} is not a capture: it has no {MANIFEST_FILE}")
        require_own_folder(folder, ACCEPTED_FOLDER)
        self.manifest = parse_manifest(read_file(folder, MANIFEST_FILE, MOST_MANIFEST_BYTES))
        for name in (PICTURES_FOLDER, LOOKS_FOLDER):
            require_own_folder(folder, name)
        if self._is_sealed and not self.manifest.complete:
            self._report(
                CaptureError(
                    f"{folder} is not complete: its recording did not end; continue it with picturematch record --out "
                    f"{folder}, or read it with --keep-going"
                )
            )
        if keep_going or not check:
            seal = self.manifest.files.get(REQUESTS_FILE)
            self.count = None if seal is None else seal.lines
        else:
            self._check()

    @property
    def folder(self) -> Path:
        """The capture's folder."""
        return self._folder

    @property
    def keeps_going(self) -> bool:
        """Whether the capture is read up to its damage."""
        return self._keep_going

    @property
    def request_pictures(self) -> PictureFiles | None:
        """The files of the pictures of the requests; None: the capture was recorded without them."""
        return self._pictures if self.manifest.pictures else None

    @property
    def damage(self) -> tuple[str, ...]:
        """What was found wrong so far, with `keep_going`: a sentence for each, at most `MOST_DAMAGE`."""
        return tuple(self._damage)

    def note_damage(self, error: CaptureError) -> None:
        """Raise an error about a damaged line, or with `keep_going` keep it in `damage`."""
        self._report(error)

    def lines(self) -> Generator[tuple[int, CaptureLine]]:
        """Yield the requests in order, with their numbers, counted from 1.

        Raises:
            CaptureError: a line cannot be read, or lines are missing; not with `keep_going`.
        """
        for number, line in self._up_to_damage(self._values(REQUESTS_FILE, CaptureLine)):
            if self._keep_going:
                self._require_pictures(number, line)
            yield number, line

    def requests_seal(self) -> FileSeal | None:
        """Return the seal of the file of requests; None: it is not known, because the recording did not end.

        Raises:
            CaptureError: the manifest lacks it; not with `keep_going`.
        """
        try:
            return self._seal_of(REQUESTS_FILE)
        except CaptureError as error:
            self._report(error)
            return None

    def raw_blocks(self, least: int) -> Iterator[tuple[int, bytes]]:
        """Yield the lines of the requests in blocks, each with its place in the file, without any check
        (capture.replaying.chunks checks them).

        Each block has whole lines, and at least so many bytes except at the end; a line that is longer than
        `LONGEST_LINE` may be cut.

        Raises:
            CaptureError: the file cannot be opened.
        """
        place = 0
        with open_file(self._folder, REQUESTS_FILE) as file:
            while block := file.read(least):
                if not block.endswith(b"\n"):
                    block += file.readline(LONGEST_LINE + 1)
                yield place, block
                place += len(block)

    def people(self) -> Generator[tuple[int, PeopleLine]]:
        """Yield the records of the people topic; Raises as `lines`."""
        return self._up_to_damage(self._people())

    def configs(self) -> Generator[tuple[int, ConfigLine]]:
        """Yield the policies and model sets; Raises as `lines`."""
        return self._up_to_damage(self._values(CONFIGS_FILE, ConfigLine))

    def looks(self, model_set: str) -> Generator[tuple[int, LookLine]]:
        """Yield what earlier replays have computed with that model set, each with its place in the file (`look_at`).

        Nothing where none has. A half-written last line, which a crash left, is ignored. Raises as `lines`; a message
        says to delete the file.
        """
        return self._up_to_damage(self._looks(looks_file(model_set)))

    def look_at(self, model_set: str, place: int) -> LookLine:
        """Return the look at a place in the file of a model set, which `looks` has yielded.

        Raises:
            CaptureError: the file was changed since.
        """
        name = looks_file(model_set)
        with open_file(self._folder, name) as file:
            file.seek(place)
            return SealedReader(name, LookLine).value(1, next(lines_of(file), b""))

    def has_picture(self, sha256: str) -> bool:
        """Return whether the capture has a file of the picture with that sha256 (hex)."""
        return self._pictures.has(sha256)

    def picture(self, sha256: str) -> bytes:
        """Return the bytes of the picture with that sha256 (hex).

        Raises:
            CaptureError: the picture's file cannot be read, or contains another picture.
        """
        name = picture_file(sha256)
        try:
            data = read_file(self._folder, name, MAX_PICTURE_BYTES)
            if picture_digest(data) != sha256:
                raise CaptureError(f"{name} is damaged: its sha256 is not its name")
        except CaptureError as error:
            self._note(error)
            raise
        return data

    @property
    def _is_sealed(self) -> bool:
        return self.manifest.version > 1

    def _check(self) -> None:
        if self._is_sealed:
            self.count = self._check_requests()
        else:
            self.count = 0
            for number, line in self.lines():
                self.count += 1
                self._require_pictures(number, line)
        for values in (self.people(), self.configs()):
            for _ in values:
                pass

    def _check_requests(self) -> int:
        """Check the lines of the requests and return their number; reading their values would take twice as long."""
        reader = self._reader(REQUESTS_FILE, CaptureLine)
        for number, data in self._raw(REQUESTS_FILE, reader):
            if not all(self.has_picture(sha256.decode()) for sha256 in _named_pictures(data)):
                self._require_pictures(number, reader.value(number, data))
        return reader.seal.lines

    def _require_pictures(self, number: int, line: CaptureLine) -> None:
        files = self.request_pictures
        missing = None if files is None else files.missing(number, line)
        if missing is not None:
            self._report(CaptureError(missing))

    def _people(self) -> Iterator[tuple[int, PeopleLine]]:
        until = 0
        try:
            for number, line in self._values(PEOPLE_FILE, PeopleLine):
                if line.offset < until:
                    raise CaptureError(f"line {number} of {PEOPLE_FILE} is damaged: its offset is not the next higher")
                until = line.offset + 1
                yield number, line
        except CaptureError:
            self.people_until = until
            raise
        if self._is_sealed and not self.manifest.complete:
            self.people_until = until

    def _looks(self, name: str) -> Iterator[tuple[int, LookLine]]:
        if not (self._folder / name).exists():
            return
        try:
            with open_file(self._folder, name) as file:
                reader, place = SealedReader(name, LookLine), 0
                for number, data in reader.checked(line for line in lines_of(file) if line.endswith(b"\n")):
                    yield place, reader.value(number, data)
                    place += len(data)
        except (CaptureError, OSError) as error:
            raise CaptureError(f"{error}; {DELETE_IT}") from error

    def _values(self, name: str, kind: type[M]) -> Iterator[tuple[int, M]]:
        if not self._is_sealed and name != REQUESTS_FILE:
            return
        reader = self._reader(name, kind)
        for number, data in self._raw(name, reader):
            if data.strip():
                yield number, reader.value(number, data)

    def _reader(self, name: str, kind: type[M]) -> SealedReader[M]:
        return SealedReader(name, kind, sealed=self._is_sealed, expected=self._seal_of(name))

    def _raw(self, name: str, reader: SealedReader[M]) -> Iterator[tuple[int, bytes]]:
        with open_file(self._folder, name) as file:
            try:
                yield from reader.checked(lines_of(file))
            except OSError as error:
                raise CaptureError(f"{name} cannot be read: {error.strerror}") from error
        reader.require_end()

    def _seal_of(self, name: str) -> FileSeal | None:
        if not self.manifest.complete:
            return None
        seal = self.manifest.files.get(name)
        if seal is None and self._is_sealed:
            raise CaptureError(f"{MANIFEST_FILE} is damaged: it has no seal of {name}")
        return seal

    def _up_to_damage(self, values: Iterator[T]) -> Generator[T]:
        try:
            yield from values
        except CaptureError as error:
            self._report(error)

    def _report(self, error: CaptureError) -> None:
        """Raise the error, or with `keep_going` note it."""
        if not self._keep_going:
            raise error
        self._note(error)

    def _note(self, error: CaptureError) -> None:
        if len(self._damage) < MOST_DAMAGE:
            self._damage[str(error)] = None


def _named_pictures(line: bytes) -> Sequence[bytes]:
    """Return the sha256 (hex) of the pictures that a line of requests.jsonl names, without reading its values."""
    further = _FURTHER_PICTURES.findall(line)
    return _PICTURE.findall(line) + [sha256 for each in further for sha256 in _SHA256.findall(each)]
