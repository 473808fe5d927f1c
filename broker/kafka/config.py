"""How the brokers are reached, and the limits of the clients."""

import ssl
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import msgspec

from broker.port import BrokerError

Milliseconds = Annotated[int, msgspec.Meta(ge=100, le=900_000)]

_RETRY_BACKOFF_MS = 20
TRANSACTION_BACKOFF_MS = 4
"""A transaction that begins while the last one is being completed is turned away for some milliseconds: try soon."""

_PATIENCE_MARGIN_S = 2.0

_FETCH_WAIT_MS = 250
"""A long poll keeps a partition that was just positioned or resumed waiting, so it must not be long."""

_FETCH_BYTES = 32 * 1024 * 1024
_PARTITION_FETCH_BYTES = 8 * 1024 * 1024
"""A single record beyond these still arrives: brokers always send the first batch whole."""


class KafkaSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the brokers are spoken to, whichever they are. It never shows its password."""

    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """Whether connections are encrypted (SSL) and authenticated (SASL)."""
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    """How the user name and the password are proved, with a SASL security_protocol."""
    username: str | None = None
    """The user name at the brokers, for SASL."""
    password: str | None = None
    """The password at the brokers, for SASL; best given as the variable PICTUREMATCH_KAFKA__PASSWORD."""
    ca_file: Path | None = None
    """Certificates that brokers are checked against; None: those of the system."""
    cert_file: Path | None = None
    """The client's own certificate, with `key_file`; None: it shows none."""
    key_file: Path | None = None
    """The private key of `cert_file`."""
    client_id: str = "picturematch"
    """The name by which the brokers' logs and quotas know this installation."""
    replication_factor: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """Of topics that are created; None: three, or as many as there are brokers."""
    session_timeout_ms: Milliseconds = 10_000
    """A member that was silent so long is given up, and its partitions go to others."""
    heartbeat_ms: Milliseconds = 200
    """How often a member asks the group for news: a rebalance waits for the slowest."""
    rebalance_timeout_ms: Milliseconds = 30_000
    """How long members may take to finish what they hold before partitions are dealt again."""
    transaction_timeout_ms: Milliseconds = 15_000
    """A transaction that was left open blocks the readers of its topics so long at most."""
    request_timeout_ms: Milliseconds = 10_000
    """A connection that leaves a request without an answer for so long is closed and replaced."""
    probe_ms: Milliseconds = 500
    """How often the brokers are asked whether they are there."""
    max_request_bytes: Annotated[int, msgspec.Meta(ge=1024 * 1024)] = 96 * 1024 * 1024
    """The brokers' own limit, socket.request.max.bytes, is 100 MiB unless it was changed."""
    client_log_level: Literal["critical", "error", "warning", "info"] = "critical"
    """From which level on the client library's own lines are logged. Of an outage it logs many a second, where we log
    one. There is no debug: its lines hold keys and values of records."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(security_protocol={self.security_protocol!r})"


class KafkaConfig(KafkaSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The connection. `bootstrap` is "host:port,host:port"."""

    bootstrap: str

    @classmethod
    def of(cls, settings: KafkaSettings, bootstrap: str) -> Self:
        """A connection to these brokers."""
        return cls(bootstrap=bootstrap, **msgspec.structs.asdict(settings))

    @property
    def request_timeout_s(self) -> float:
        """`request_timeout_ms` in seconds: how long a connection may leave a request without an answer."""
        return self.request_timeout_ms / 1000

    @property
    def patience_s(self) -> float:
        """How long anything may take that the library does for us.

        More than a request, so that the library has closed a connection that is silent, and found another one, before
        we ask again.
        """
        return self.request_timeout_s + _PATIENCE_MARGIN_S

    def connection(self) -> dict[str, Any]:
        """What every client of the library is given.

        Raises:
            BrokerError: options that do not fit together, or a certificate that cannot be read.
        """
        options: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap,
            "client_id": self.client_id,
            "request_timeout_ms": self.request_timeout_ms,
            "retry_backoff_ms": _RETRY_BACKOFF_MS,
            "security_protocol": self.security_protocol,
        }
        if self.security_protocol.startswith("SASL"):
            if self.username is None or self.password is None:
                raise BrokerError(f"{self.security_protocol} needs a user name and a password for the Kafka brokers")
            options |= {
                "sasl_mechanism": self.sasl_mechanism,
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password,
            }
        if self.security_protocol.endswith("SSL"):
            options["ssl_context"] = self._ssl()
        return options

    def _ssl(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
            if self.cert_file is not None:
                context.load_cert_chain(self.cert_file, self.key_file)
        except (OSError, ssl.SSLError) as error:
            raise BrokerError(f"the certificates for the Kafka brokers cannot be used: {error}") from error
        return context

    def consumer(self) -> dict[str, Any]:
        """What consumers are given besides: committed records only, low latency, bounded memory."""
        return {
            **self.connection(),
            "isolation_level": "read_committed",
            "enable_auto_commit": False,
            "auto_offset_reset": "none",
            "fetch_min_bytes": 1,
            "fetch_max_wait_ms": _FETCH_WAIT_MS,
            "fetch_max_bytes": _FETCH_BYTES,
            "max_partition_fetch_bytes": _PARTITION_FETCH_BYTES,
        }

    def transactional(self, transactional_id: str) -> dict[str, Any]:
        """What transactional producers are given besides."""
        return {
            **self.producer(),
            "transactional_id": transactional_id,
            "transaction_timeout_ms": self.transaction_timeout_ms,
            "retry_backoff_ms": TRANSACTION_BACKOFF_MS,
        }

    def producer(self) -> dict[str, Any]:
        """What producers are given besides: durable, in order, without waiting for company."""
        return {
            **self.connection(),
            "acks": "all",
            "enable_idempotence": True,
            "linger_ms": 0,
            "max_request_size": self.max_request_bytes,
        }

    def fleeting(self) -> dict[str, Any]:
        """What producers are given besides whose records are of no use a moment later."""
        return {**self.connection(), "acks": 1, "enable_idempotence": False, "linger_ms": 0}
