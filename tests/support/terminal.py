"""A terminal that a command of the project prints to, and what may not reach one."""

import asyncio
import os
import re
import sys
import unicodedata

from tests.support.commands import ROOT, Finished, environment

# One character of each kind that a device, a list or another server may put into a text.
HOSTILE = (
    "\x1b]0;gone\x07\x00\x08\x0b\x0c\x7f\x80\x85\x8d\x90\x9b31m\x9d\x9f"
    "\u061c\u200b\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e"
    "\u2060\u2061\u2066\u2067\u2068\u2069\u206a\u206f\ufeff\ufff9\U000e0001\U000e0041"
)
FRIENDLY = "Zoë 张三 山田　太郎 علی‌رضا שרה कैलाश क्‍ष 👩‍🚀"
_COLOURS = re.compile("\x1b\\[[0-9;?]*[A-Za-z]")


def hostile_characters(text: str) -> str:
    """Those characters of an output that steer a terminal, break its lines or turn the direction of its writing."""
    return "".join(
        c
        for c in text
        if c not in "\n\r\t\u200c\u200d" and unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp", "Cn", "Co"}
    )


async def run_on_terminal(*arguments: object, **settings: str) -> Finished:
    """Run `picturematch ARGUMENTS` on a terminal; `out` has all that was printed, without colours."""
    ours, theirs = os.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "picturematch", *map(str, arguments)),
        cwd=ROOT,
        env={**environment(), "COLUMNS": "300", "LINES": "50", **settings},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    printed = await asyncio.wait_for(asyncio.to_thread(_all_of, ours), 60)
    os.close(ours)
    return Finished(await process.wait(), _COLOURS.sub("", printed.decode()), "")


def _all_of(descriptor: int) -> bytes:
    read = b""
    while True:
        try:
            chunk = os.read(descriptor, 65536)
        except OSError:  # how Linux says that the other end is closed
            return read
        if not chunk:
            return read
        read += chunk
