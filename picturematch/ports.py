"""Opens ports for the clients of a sink in a process without an ingress, by the rules of the ingress."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry

from broker.port import Broker
from contract.people.directory import Directory
from ingest.authorisation import Authorisation
from ingest.listener import Listener
from ingest.metrics import Metrics
from ingest.refused_keys import RefusedKeys
from ingest.tls import ServerTls
from picturematch.opening import Clock
from picturematch.settings import Settings


@asynccontextmanager
async def open_ports(
    settings: Settings,
    people: Directory,
    broker: Broker,
    registry: CollectorRegistry,
    clock: Clock,
    tls: ServerTls | None,
) -> AsyncIterator[Listener]:
    """Yield what opens ports at `ingest.host`; the counts of refused keys are written while the context is open.

    `people` is read to its end. `tls`: the certificate; None: plain HTTP.
    """
    metrics = Metrics(registry)
    refused = RefusedKeys(broker, settings.topics.audit, clock)
    authorisation = Authorisation(settings.ingest, people, lambda: True, refused, metrics.keys_refused)
    async with authorisation:
        yield Listener(settings.ingest, authorisation, tls, metrics)
