"""Ready manifests of embedders, without weights: an operator drops in the file, which is pinned by its sha256.

The ready manifests lie in `embedders/` beside this module. Pinning checks the file and writes two files into
`embedders/` of the cache folder: the file of the network, and a manifest of the operator with its sha256, NAME.toml.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from contract.files import write_whole
from models.errors import BadManifest, DamagedModel
from models.manifest import Manifest, NetworkEntry, load_manifest
from models.network import Network
from models.recipe import sha256_of

_READY = Path(__file__).with_name("embedders")
_FOLDER = "embedders"


@dataclass(frozen=True, slots=True)
class ReadyEmbedder:
    """A ready manifest. `name`: how commands name it. `entry`: its embedder. `text`: the manifest itself."""

    name: str
    entry: NetworkEntry
    text: str


@dataclass(frozen=True, slots=True)
class Pinned:
    """A pinned embedder. `was_known`: the ready manifest had the sha256 of the file already."""

    manifest: Path
    sha256: str
    was_known: bool


def ready_embedders() -> Sequence[ReadyEmbedder]:
    """Return the ready manifests of this release, by name."""
    return [_ready(path) for path in sorted(_READY.glob("*.toml"))]


def ready_embedder(name: str) -> ReadyEmbedder:
    """Return the ready manifest of that name.

    Raises:
        BadManifest: there is none.
    """
    for ready in ready_embedders():
        if ready.name == name:
            return ready
    names = ", ".join(ready.name for ready in ready_embedders())
    raise BadManifest(f"there is no ready manifest {name}; there are {names}")


def pinned_manifest(cache_dir: Path, name: str) -> Path:
    """Return where the manifest of a pinned embedder lies, or would lie."""
    return cache_dir.absolute() / _FOLDER / f"{name}.toml"


def pin(ready: ReadyEmbedder, file: Path, cache_dir: Path) -> Pinned:
    """Check the file of a ready embedder, copy it into the cache folder, and write its manifest there.

    Raises:
        DamagedModel: the file is not the one that the manifest describes, or no network with its input and output.
        BadManifest: another file is pinned under this name.
        OSError: the file cannot be read, or the folder cannot be written.
    """
    data = file.read_bytes()
    sha256 = sha256_of(data)
    entry = ready.entry
    if entry.sha256 not in (None, sha256):
        raise DamagedModel(
            f"{file} is not the file that the manifest {ready.name} describes: its sha256 is {sha256}, and that of"
            f" {entry.origin} is {entry.sha256}; describe another network in a manifest of your own (docs/models.md)"
        )
    _require_fit(entry, data)
    manifest = pinned_manifest(cache_dir, ready.name)
    weights = manifest.with_name(f"{ready.name}.onnx")
    if manifest.exists():
        before = load_manifest(manifest).network("embedder").sha256
        if before != sha256:
            raise BadManifest(
                f"another file is pinned as {ready.name} (sha256 {before}), and faces may be embedded by it; remove"
                f" {manifest} and {weights} if it is not used any more"
            )
    else:
        manifest.parent.mkdir(parents=True, exist_ok=True)
        write_whole(weights, data, mode=0o644)
        write_whole(manifest, _with_file(ready, weights.name, sha256).encode(), mode=0o644)
    return Pinned(manifest, sha256, entry.sha256 is not None)


def _ready(path: Path) -> ReadyEmbedder:
    manifest: Manifest = load_manifest(path)
    return ReadyEmbedder(path.stem, manifest.network("embedder"), path.read_text("utf-8"))


def _require_fit(entry: NetworkEntry, data: bytes) -> None:
    """Check that a network takes the input of its entry, and that its output has the dimension of the entry.

    Raises:
        DamagedModel: it does not.
    """
    from models.prepare import prepare  # only this function prepares a network, and the import takes long

    network = Network(prepare(data, entry.input.shape), entry.outputs)
    output = network(np.zeros((1, 3, entry.input.height or 0, entry.input.width or 0), np.float32))[0]
    if output.size != entry.dimension:
        raise DamagedModel(f"the network's output has {output.size} numbers, and its manifest names {entry.dimension}")


def _with_file(ready: ReadyEmbedder, file: str, sha256: str) -> str:
    """Return the text of a ready manifest with the name and the sha256 of the pinned file."""
    lines = [line for line in ready.text.splitlines() if not line.startswith("sha256 =")]
    at = next(number for number, line in enumerate(lines) if line.startswith("file ="))
    lines[at : at + 1] = [f'file = "{file}"', f'sha256 = "{sha256}"']
    return "\n".join(lines) + "\n"
