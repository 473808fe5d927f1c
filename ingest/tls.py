"""TLS of the server: its certificate, which can be replaced while the server runs."""

import logging
import ssl
from pathlib import Path

from contract.operator_error import OperatorError
from ingest.settings import IngestSettings

_log = logging.getLogger(__name__)


class BadCertificate(OperatorError):
    """The certificate or its private key cannot be used; the message names the file and the remedy."""


class ServerTls:
    """The TLS context of a listener.

    Every handshake uses the certificate that `reload` read last; connections that exist keep theirs.

    Raises:
        BadCertificate: the files cannot be used.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        self._certificate, self._key = certificate, key
        self._current = _context(certificate, key)
        self.context = _context(certificate, key)
        """The context for the listener."""
        self.context.sni_callback = self._use_current

    def reload(self) -> None:
        """Read both files again; where they cannot be used, log the reason and keep the certificate in use."""
        try:
            self._current = _context(self._certificate, self._key)
        except BadCertificate as error:
            _log.error("%s; the former certificate stays in use", error)
        else:
            _log.info("the certificate %s was read again; new connections use it", self._certificate)

    def _use_current(self, handshake: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        # OpenSSL calls this in every handshake, whether the client has named a server or not.
        handshake.context = self._current


def tls_of(settings: IngestSettings) -> ServerTls | None:
    """Return the TLS of a server with these settings; None: it speaks plain HTTP.

    Raises:
        BadCertificate: the files of the certificate and its key cannot be used.
    """
    cert, key = settings.tls_cert, settings.tls_key
    return None if cert is None or key is None else ServerTls(cert, key)


def _context(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    for name, file in (("tls_cert", certificate), ("tls_key", key)):
        try:
            file.read_bytes()
        except OSError as error:
            raise BadCertificate(f"ingest.{name}: {file} cannot be read: {error.strerror or error}") from error
    try:
        # Without a function for the pass phrase, OpenSSL would ask for it on the terminal.
        context.load_cert_chain(certificate, key, password=_no_pass_phrase)
    except _PassPhraseAsked:
        raise BadCertificate(
            f"ingest.tls_key: {key} needs a pass phrase; write the private key without one, readable by the server's"
            " user alone"
        ) from None
    except (ssl.SSLError, ValueError) as error:
        raise BadCertificate(_reason(error, certificate, key)) from error
    return context


def _reason(error: Exception, certificate: Path, key: Path) -> str:
    if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
        return f"ingest.tls_key: {key} is not the private key of {certificate}; name the two files of one pair"
    return (
        f"ingest.tls_cert: {certificate} and {key} are not a certificate and its private key in PEM form"
        " (-----BEGIN CERTIFICATE-----, -----BEGIN PRIVATE KEY-----)"
    )


class _PassPhraseAsked(Exception):
    """The private key is encrypted."""


def _no_pass_phrase() -> str:
    raise _PassPhraseAsked
