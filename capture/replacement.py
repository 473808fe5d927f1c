"""Replaces files of a capture all at once, so that after a crash a reader finds either all old or all new ones.

The new files are written into the folder `accepted.half`. They come into force together when that folder is renamed to
`accepted`: from then on a file in it counts in place of the capture's file of the same name (capture.files.open_file).
Then the files are moved to their places, one by one. After a crash, the next one who writes to the capture does that.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import structs

from capture.files import open_file
from capture.sealed_file import SealedFile
from contract.captures.convert import (
    ACCEPTED_FOLDER,
    CONFIGS_FILE,
    MANIFEST_FILE,
    REPLACEABLE_FILES,
    REQUESTS_FILE,
    format_manifest,
)
from contract.captures.values import CaptureLine, ConfigLine, FileSeal, Manifest
from contract.files import HALF, sync_folder, write_whole

_HALF_FOLDER = f"{ACCEPTED_FOLDER}{HALF}"


class Replacement:
    """New requests of a capture, and further policies and model sets, which come into force together.

    Synchronous; the caller prevents a second writer, and that of the capture itself.

    Raises:
        OSError: the new files cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._half = folder, folder / _HALF_FOLDER
        self._half.mkdir(mode=0o700)
        try:
            self._requests = SealedFile(self._half / REQUESTS_FILE, CaptureLine)
        except OSError:
            self._half.rmdir()
            raise
        self._configs: list[ConfigLine] = []
        self.is_dropped = False

    def append(self, lines: Sequence[CaptureLine]) -> None:
        """Append lines to the new requests; Raises as `SealedFile.append`."""
        self._requests.append(lines)

    def add_configs(self, lines: Sequence[ConfigLine]) -> None:
        """Note policies and model sets that the capture does not have yet."""
        self._configs += lines

    def drop(self) -> None:
        """Let the capture stay as it is."""
        self.is_dropped = True

    def put_into_force(self, manifest: Manifest) -> Manifest:
        """Let the new files count, durably, and return the new manifest. `manifest`: that of the capture.

        Raises:
            OSError: the files cannot be written; the capture then has all old or all new files.
            CaptureError: the present policies and model sets are damaged.
        """
        seals: dict[str, FileSeal] = {REQUESTS_FILE: self._requests.seal}
        if self._configs:
            seals[CONFIGS_FILE] = self._write_configs(manifest.files)
        if manifest.complete:
            manifest = structs.replace(manifest, files={**manifest.files, **seals})
        write_whole(self._half / MANIFEST_FILE, format_manifest(manifest))
        self._half.rename(self._folder / ACCEPTED_FOLDER)
        sync_folder(self._folder)
        finish_replacement(self._folder)
        return manifest

    def _write_configs(self, seals: Mapping[str, FileSeal]) -> FileSeal:
        path = self._half / CONFIGS_FILE
        with open_file(self._folder, CONFIGS_FILE) as present:
            write_whole(path, present.read())
        configs = SealedFile(path, ConfigLine, seals.get(CONFIGS_FILE))
        try:
            for _ in configs.lines():
                pass
            configs.append(self._configs)
            return configs.seal
        finally:
            configs.close()

    def close(self) -> None:
        """Close the new requests, and remove what has not come into force."""
        self._requests.close()
        shutil.rmtree(self._half, ignore_errors=True)


def finish_replacement(folder: Path) -> None:
    """Move the files that are in force to their places, and remove those that are not, where a crash left some.

    The caller prevents a second writer.

    Raises:
        OSError: a file cannot be moved; the same files as before are in force then.
    """
    half, accepted = folder / _HALF_FOLDER, folder / ACCEPTED_FOLDER
    if half.is_dir() and not half.is_symlink():
        shutil.rmtree(half)
    if not accepted.is_dir():
        return
    for name in REPLACEABLE_FILES:
        if (accepted / name).exists():
            (accepted / name).replace(folder / name)
    sync_folder(accepted)
    sync_folder(folder)
    accepted.rmdir()
    sync_folder(folder)
