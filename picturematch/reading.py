"""Reads the people topic once, beside a running server, and names the embedder that the server uses."""

from contextlib import aclosing
from typing import TypeVar

from broker.ordered import read_merged
from broker.port import Start
from contract.people.directory import Directory
from contract.text import printable
from models.errors import ModelError
from picturematch.networks import store_of
from picturematch.opening import open_broker
from picturematch.options import UserError
from picturematch.settings import Settings

_BATCH = 500

D = TypeVar("D", bound=Directory)


async def read_people(settings: Settings) -> Directory:
    """Return everybody who is enrolled, and the site, as the people topic describes them now; Raises as `read_into`."""
    return await read_into(Directory(), settings)


async def read_into(people: D, settings: Settings) -> D:
    """Fold the whole people topic into an empty directory, and return that.

    Raises:
        BrokerError: the log cannot be read.
    """
    async with open_broker(settings, "guest") as log:
        ends = dict(await log.end_offsets(settings.topics.people))
        async with aclosing(read_merged(log, settings.topics.people, Start.EARLIEST, ends, batch=_BATCH)) as batches:
            async for records in batches:
                people.apply(records)
    return people


def embedder_in_use(settings: Settings) -> str:
    """Return the identity of the embedder that a server with these settings uses; it need not be installed.

    Raises:
        UserError: the operator's manifest, or a network that it names, cannot be read.
    """
    if settings.models.stand_in is not None:
        from engine.vision.networks.standin import stand_in_models  # only tests ask for it

        return stand_in_models(settings.models.stand_in).embedder_identity
    try:
        return store_of(settings).identity("embedder")
    except ModelError as error:
        raise UserError(printable(str(error))) from error


def has_covers(settings: Settings) -> bool:
    """Return whether an enrolment with these settings makes templates of covered faces.

    Raises:
        UserError: the operator's manifest cannot be read.
    """
    if settings.models.stand_in is not None or not settings.matching.covered_templates:
        return False
    try:
        return bool(store_of(settings).manifest.network("embedder").covered_curves)
    except ModelError as error:
        raise UserError(printable(str(error))) from error
