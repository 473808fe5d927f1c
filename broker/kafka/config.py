"""The settings of the connection to the brokers, the limits of the clients, and the library's options for them."""

import ssl
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import msgspec

from broker.port import BrokerError

Milliseconds = Annotated[int, msgspec.Meta(ge=100, le=900_000)]

_RETRY_BACKOFF_MS = 20
TRANSACTION_BACKOFF_MS = 4
"""The library tries again after this time to begin a transaction, which the brokers refuse for some milliseconds while
the last one is being completed."""

_PATIENCE_MARGIN_S = 2.0

_FETCH_WAIT_MS = 250
"""The longest wait of a fetch request for records; a partition that was just positioned or resumed waits as long."""

_IDLE_MS = 2000
"""How often a consumer that has nothing to do looks for work; what needs work at once wakes it. By default the library
looks five times a second, which a process with several consumers notices."""

_FETCH_BYTES = 32 * 1024 * 1024
_PARTITION_FETCH_BYTES = 8 * 1024 * 1024
"""The limits of a fetch; a larger single record still arrives, because brokers always send the first batch whole."""


class KafkaSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The settings of the connection to any brokers. The representation of this object never contains the password."""

    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """Whether connections are encrypted (SSL) and authenticated (SASL)."""
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    """The method of authentication by user name and password, with a SASL security_protocol."""
    username: str | None = None
    """The user name at the brokers, for SASL."""
    password: str | None = None
    """The password at the brokers, for SASL; best given as the variable PICTUREMATCH_KAFKA__PASSWORD."""
    ca_file: Path | None = None
    """The certificates of authorities by which brokers are checked; None: those of the system."""
    cert_file: Path | None = None
    """The client's own certificate, with `key_file`; None: the client sends no certificate."""
    key_file: Path | None = None
    """The private key of `cert_file`."""
    client_id: str = "picturematch"
    """The name of this installation in the brokers' logs and quotas."""
    replication_factor: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """The number of replicas of topics that are created; None: three, or as many as there are brokers."""
    session_timeout_ms: Milliseconds = 10_000
    """Kafka removes a member from its group after so much silence, and assigns its partitions to others."""
    heartbeat_ms: Milliseconds = 200
    """The time between two heartbeats, in which a member learns of a rebalance; a rebalance waits for the slowest."""
    rebalance_timeout_ms: Milliseconds = 30_000
    """The time that members have to finish their work before partitions are assigned anew."""
    transaction_timeout_ms: Milliseconds = 15_000
    """The longest time for which a transaction that was left open blocks the readers of its topics."""
    request_timeout_ms: Milliseconds = 10_000
    """A connection that leaves a request without an answer for so long is closed and replaced."""
    probe_ms: Milliseconds = 500
    """The time between two probes whether the brokers can be reached."""
    max_request_bytes: Annotated[int, msgspec.Meta(ge=1024 * 1024)] = 96 * 1024 * 1024
    """The limit of one request; the brokers' own, socket.request.max.bytes, is 100 MiB unless it was changed."""
    client_log_level: Literal["critical", "error", "warning", "info"] = "critical"
    """The level from which on the client library's own lines are logged. During an outage the library logs many lines a
    second, PictureMatch one. There is no level debug, because its lines contain keys and values of records."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(security_protocol={self.security_protocol!r})"


class KafkaConfig(KafkaSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The settings of the connection and the brokers' addresses, `bootstrap`, as in "host:port,host:port"."""

    bootstrap: str

    @classmethod
    def of(cls, settings: KafkaSettings, bootstrap: str) -> Self:
        """Return the settings with the brokers' addresses."""
        return cls(bootstrap=bootstrap, **msgspec.structs.asdict(settings))

    @property
    def request_timeout_s(self) -> float:
        """`request_timeout_ms` in seconds, the time for which a connection may leave a request without an answer."""
        return self.request_timeout_ms / 1000

    @property
    def patience_s(self) -> float:
        """The time limit of a call of the library, in seconds.

        It is longer than the time limit of a request, so that the library has replaced a silent connection before the
        call is tried again.
        """
        return self.request_timeout_s + _PATIENCE_MARGIN_S

    def connection(self) -> dict[str, Any]:
        """Return the options of every client of the library.

        Raises:
            BrokerError: user name or password is missing, or a certificate cannot be read.
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
        """Return the options of consumers: committed records only, low latency, bounded memory."""
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

    def reader(self) -> dict[str, Any]:
        """Return the options of consumers without a group; one that nobody asks for records costs next to nothing."""
        return {**self.consumer(), "consumer_timeout_ms": _IDLE_MS}

    def transactional(self, transactional_id: str) -> dict[str, Any]:
        """Return the options of a transactional producer."""
        return {
            **self.producer(),
            "transactional_id": transactional_id,
            "transaction_timeout_ms": self.transaction_timeout_ms,
            "retry_backoff_ms": TRANSACTION_BACKOFF_MS,
        }

    def producer(self) -> dict[str, Any]:
        """Return the options of producers: durable, in order, without waiting for more records."""
        return {
            **self.connection(),
            "acks": "all",
            "enable_idempotence": True,
            "linger_ms": 0,
            "max_request_size": self.max_request_bytes,
        }

    def fleeting(self) -> dict[str, Any]:
        """Return the options of a producer whose records are of no use a moment later, such as signs of life."""
        return {**self.connection(), "acks": 1, "enable_idempotence": False, "linger_ms": 0}
