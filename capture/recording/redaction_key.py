"""The file of the key from which pseudonyms are computed."""

import secrets
from pathlib import Path

from contract.captures.values import CaptureError
from contract.files import cannot_be_written, write_whole

_BYTES = 32


def redaction_key(file: Path, capture: Path) -> bytes:
    """Return the key in a file, which is made with a random key where it does not exist.

    `capture`: the folder or the file of the capture, outside of which the key must be.

    Raises:
        CaptureError: the file is inside the capture, contains no key, or cannot be read or written.
    """
    if file.resolve().is_relative_to(capture.resolve()):
        raise CaptureError(f"{file} is inside the capture and would be given away with it: name another --redact-key")
    try:
        if not file.exists():
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(file, secrets.token_hex(_BYTES).encode() + b"\n")
        text = file.read_bytes()
    except OSError as error:
        raise CaptureError(cannot_be_written(file, error)) from error
    try:
        key = bytes.fromhex(text.decode())
    except ValueError:
        key = b""
    if len(key) < _BYTES:
        raise CaptureError(f"{file} contains no key: name a file of at least {2 * _BYTES} hex digits, or a new file")
    return key
