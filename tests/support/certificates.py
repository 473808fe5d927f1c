"""Certificates for tests, made by the program openssl."""

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support.programs import needs

needs_openssl = needs("openssl", "openssl")


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate of this machine that has issued itself, and its private key."""

    cert: Path
    key: Path

    @property
    def trusted(self) -> ssl.SSLContext:
        """The settings of a client that trusts this certificate only."""
        return ssl.create_default_context(cafile=self.cert)

    @property
    def pem(self) -> str:
        """The certificate alone, as `ssl.get_server_certificate` returns it."""
        return ssl.DER_cert_to_PEM_cert(ssl.PEM_cert_to_DER_cert(self.cert.read_text()))

    @property
    def settings(self) -> dict[str, Path]:
        """As settings of the ingress."""
        return {"tls_cert": self.cert, "tls_key": self.key}

    def replace_by(self, other: "Pair") -> None:
        """Write the other pair to the files of this one."""
        self.cert.write_bytes(other.cert.read_bytes())
        self.key.write_bytes(other.key.read_bytes())


def make_pair(folder: Path, name: str = "server", pass_phrase: str | None = None) -> Pair:
    """Make a pair of files in the folder; `pass_phrase` encrypts the private key."""
    pair = Pair(folder / f"{name}.pem", folder / f"{name}-key.pem")
    secret = ["-nodes"] if pass_phrase is None else ["-passout", f"pass:{pass_phrase}"]
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", *secret),
            *("-days", "2", "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"),
            *("-keyout", str(pair.key), "-out", str(pair.cert)),
        ],
        check=True,
        capture_output=True,
    )
    return pair
