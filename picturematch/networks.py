"""The store of networks that the settings name, and the progress that is shown while networks are installed."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from contract.text import printable
from engine.policy import Policy
from engine.vision.ports import ModelSet
from models.errors import ModelError
from models.manifest import NO_THRESHOLD, load_manifest
from models.progress import PlainLines, Reporter, TerminalBars
from models.ready import pinned_manifest, ready_embedder, ready_embedders
from models.store import ModelStore
from picturematch.options import UserError
from picturematch.settings import Settings


def store_of(settings: Settings) -> ModelStore:
    """Return the store of the networks.

    Raises:
        ModelError: the operator's manifest cannot be used.
    """
    models = settings.models
    return ModelStore(models.folder, load_manifest(models.manifest), models.runtimes.by_role(models.runtime))


def manifest_of(settings: Settings, named: str) -> Path:
    """Return the manifest that a user names: by the name of a pinned embedder, or as a file.

    Raises:
        UserError: there is no such file, or the embedder is not pinned.
    """
    if named in {ready.name for ready in ready_embedders()}:
        manifest = pinned_manifest(settings.models.folder, named)
        if not manifest.is_file():
            raise UserError(
                f"the file of {named} is not here yet: get it from {ready_embedder(named).entry.origin}, and run:"
                f" picturematch models pin {named} FILE"
            )
        return manifest
    if not Path(named).is_file():
        raise UserError(printable(f"{named} is neither a file nor an embedder of `picturematch models embedders`"))
    return Path(named).absolute()


def require_calibrated(models: ModelSet, policy: Policy) -> None:
    """Check that searches have a threshold: the embedder's own, one by its curve, or the operator's.

    Raises:
        UserError: nobody has measured a threshold of this embedder.
    """
    embedder = models.embedder
    if embedder.threshold >= NO_THRESHOLD and not embedder.fmr_curve and policy.threshold is None:
        raise UserError(
            "the embedder has neither a curve nor a threshold, so that nobody would be recognised: measure its curve"
            " with `picturematch calibrate PHOTOS --write MANIFEST`, with the manifest that models.manifest names"
        )


@contextmanager
def reporter() -> Iterator[Reporter]:
    """Report progress on stderr: as bars on a terminal, else as lines."""
    console = Console(stderr=True)
    if console.is_terminal:
        with TerminalBars(console) as bars:
            yield bars
    else:
        yield PlainLines(sys.stderr)


def install_missing(settings: Settings, *, samples: bool = False) -> ModelStore:
    """Fetch and prepare the missing networks; return the store. Where every needed network is installed, do nothing.

    Optional networks are fetched together with needed ones, never alone: otherwise a machine without a connection would
    try to fetch them at every start.

    Raises:
        UserError: a network cannot be installed; the message says what to do.
    """
    try:
        store = store_of(settings)
        if not store.ready(samples=samples):
            with reporter() as report:
                store.install(report, samples=samples)
    except ModelError as error:
        raise UserError(printable(str(error))) from error
    return store
