"""Untrusted text that could mislead a reader: which characters names may not contain, and how text is printed. Pure.

Some characters control a terminal (C0, DEL, C1), break lines (U+2028, U+2029) or reverse the direction of writing, so
that a text is displayed in another order than it is stored (Unicode Standard Annex 9). Names may contain the joiners
U+200C and U+200D, which belong to the spelling of Persian, Indic scripts and emoji, and the letters of scripts that run
from right to left.
"""

import re
import unicodedata

# C0, DEL and C1; line and paragraph separator; embeddings, overrides and isolates, with the deprecated characters that
# follow the isolates; anchors of annotations; unpaired surrogates.
_MISLEADING = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u206f\ufff9-\ufffb\ud800-\udfff]")
_STEERING = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_JOINERS = "\u200c\u200d"


def misleads(text: str) -> bool:
    """Return whether the text contains a character that no identity_id, name or group name may contain."""
    return _MISLEADING.search(text) is not None


def steers(text: str) -> bool:
    """Return whether the text contains a control character or an unpaired surrogate, the worst of these characters."""
    return _STEERING.search(text) is not None


def printable(text: str) -> str:
    """Return the text for a terminal: U+FFFD replaces each character that is not visible, no space and no joiner."""
    return text if text.isprintable() else "".join(c if _shows(c) else "\N{REPLACEMENT CHARACTER}" for c in text)


def printable_json(document: bytes) -> bytes:
    """Return a JSON document in UTF-8 for a terminal: the same value, with \\uXXXX for each character that `printable`
    would replace.

    Line feeds and tabs between the values stay; JSON strings contain none. Bytes that are not UTF-8 become U+FFFD.
    """
    if document.isascii() and b"\x7f" not in document:
        return document
    text = document.decode("utf-8", "replace")
    return "".join(c if _shows(c) or c in "\n\r\t" else _escaped(c) for c in text).encode()


def _shows(character: str) -> bool:
    return character.isprintable() or character in _JOINERS or unicodedata.category(character) == "Zs"


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[place : place + 2].hex()}" for place in range(0, len(units), 2))
