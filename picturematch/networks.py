"""Where the commands get the networks: the store that the settings name, and what is shown while it is filled."""

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
    """Where the networks are kept.

    Raises:
        ModelError: the operator's manifest cannot be used.
    """
    return ModelStore(settings.models.folder, load_manifest(settings.models.manifest))


@contextmanager
def reporter() -> Iterator[Reporter]:
    """Bars on a terminal, lines elsewhere; on stderr."""
    console = Console(stderr=True)
    if console.is_terminal:
        with TerminalBars(console) as bars:
            yield bars
    else:
        yield PlainLines(sys.stderr)


def install_missing(settings: Settings, *, samples: bool = False) -> ModelStore:
    """Fetch and prepare what is not there yet; nothing happens where everything is that is needed.

    Networks that the engine can do without are fetched with the others, never for their own sake: a machine without a
    network would wait for them at every start.

    Raises:
        UserError: something cannot be had; the message says what to do.
    """
    try:
        store = store_of(settings)
        if not store.ready(samples=samples):
            with reporter() as report:
                store.install(report, samples=samples)
    except ModelError as error:
        raise UserError(printable(str(error))) from error
    return store
