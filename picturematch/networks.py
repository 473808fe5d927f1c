"""The store of networks that the settings name, and the progress that is shown while networks are installed."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from contract.text import printable
from models.errors import ModelError
from models.manifest import load_manifest
from models.progress import PlainLines, Reporter, TerminalBars
from models.store import ModelStore
from picturematch.options import UserError
from picturematch.settings import Settings


def store_of(settings: Settings) -> ModelStore:
    """Return the store of the networks.

    Raises:
        ModelError: the operator's manifest cannot be used.
    """
    return ModelStore(settings.models.folder, load_manifest(settings.models.manifest))


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
