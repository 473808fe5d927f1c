"""TLS of the clients."""

import ssl
from pathlib import Path

from clients.errors import CannotRun


def trusting(ca_file: Path) -> ssl.SSLContext:
    """Return the TLS settings of a client that trusts the certificates in a file.

    Raises:
        CannotRun: the file cannot be read, or contains no certificate.
    """
    try:
        return ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError as error:
        raise CannotRun(f"{ca_file} contains no certificate in PEM form (-----BEGIN CERTIFICATE-----)") from error
    except OSError as error:
        raise CannotRun(f"{ca_file} cannot be read: {error.strerror or error}") from error
