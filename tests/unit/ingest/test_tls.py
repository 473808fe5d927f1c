"""The files of TLS: what is wrong with them is one sentence, and a bad pair never replaces a good one."""

import ssl
from pathlib import Path

import pytest

from ingest.settings import IngestSettings
from ingest.tls import BadCertificate, ServerTls
from tests.support.certificates import Pair, make_pair, needs_openssl

pytestmark = needs_openssl


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return make_pair(tmp_path)


def test_both_files_are_named_or_none(pair: Pair):
    assert IngestSettings(**pair.settings).tls_cert == pair.cert
    for one in ("tls_cert", "tls_key"):
        with pytest.raises(ValueError, match="are needed together"):
            IngestSettings(**{one: pair.cert})


def test_protocols_older_than_tls_1_2_are_not_spoken(pair: Pair):
    assert ServerTls(pair.cert, pair.key).context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_what_is_wrong_with_the_files_is_one_sentence_that_names_the_file(pair: Pair, tmp_path: Path):
    other = make_pair(tmp_path, "other")
    locked = make_pair(tmp_path, "locked", "a pass phrase")
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("no certificate")
    cases = [
        (tmp_path / "none.pem", pair.key, r"ingest\.tls_cert: .*none\.pem cannot be read: No such file"),
        (pair.cert, tmp_path / "none.pem", r"ingest\.tls_key: .*none\.pem cannot be read: No such file"),
        (pair.cert, tmp_path, r"ingest\.tls_key: .* cannot be read: Is a directory"),
        (pair.cert, other.key, r"other-key\.pem is not the private key of .*server\.pem"),
        (locked.cert, locked.key, r"locked-key\.pem needs a pass phrase"),
        (garbage, pair.key, "are not a certificate and its private key in PEM form"),
        (pair.cert, garbage, "are not a certificate and its private key in PEM form"),
        (pair.key, pair.cert, "are not a certificate and its private key in PEM form"),
    ]
    for cert, key, sentence in cases:
        with pytest.raises(BadCertificate, match=sentence):
            ServerTls(cert, key)


def test_files_that_cannot_be_used_are_logged_and_the_former_certificate_stays(
    pair: Pair, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    tls = ServerTls(pair.cert, pair.key)
    before = tls._current
    other = make_pair(tmp_path, "other")
    pair.cert.write_bytes(other.cert.read_bytes())  # the key is not replaced yet
    tls.reload()
    assert tls._current is before
    assert "the former certificate stays in use" in caplog.text
    pair.replace_by(other)
    tls.reload()
    assert tls._current is not before
