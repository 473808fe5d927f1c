"""The format of log lines: on standard error, safe for a terminal, and safe against forged lines."""

import logging
import sys

from contract.text import printable

DATED = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_CONTINUED = "\n    "


class PrintableFormatter(logging.Formatter):
    """Replaces characters that control a terminal, and indents the further lines of a message or traceback.

    Messages may quote ids from requests and errors of other programs, which could otherwise forge log lines.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the lines of a log record."""
        return _CONTINUED.join(map(printable, super().format(record).split("\n")))


def log_to_stderr(level: str, layout: str = "%(message)s") -> None:
    """Send log lines to standard error; a later call replaces an earlier one."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(PrintableFormatter(layout))
    root = logging.getLogger()
    for former in [former for former in root.handlers if isinstance(former.formatter, PrintableFormatter)]:
        root.removeHandler(former)
    root.addHandler(handler)
    root.setLevel(level.upper())
