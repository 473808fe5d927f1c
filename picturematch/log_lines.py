"""How log lines are written: on standard error, fit for a terminal, and none that another one's text could forge."""

import logging
import sys

from contract.text import printable

DATED = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_CONTINUED = "\n    "


class PrintableFormatter(logging.Formatter):
    """Replaces what would steer a terminal; further lines of a message or of a trace are indented.

    Messages may quote ids that others wrote into the log, and errors of other programs.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The record's lines."""
        return _CONTINUED.join(map(printable, super().format(record).split("\n")))


def log_to_stderr(level: str, layout: str = "%(message)s") -> None:
    """Send the log to standard error from now on; a later call takes the place of an earlier one."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(PrintableFormatter(layout))
    root = logging.getLogger()
    for former in [former for former in root.handlers if isinstance(former.formatter, PrintableFormatter)]:
        root.removeHandler(former)
    root.addHandler(handler)
    root.setLevel(level.upper())
