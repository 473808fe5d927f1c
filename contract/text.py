"""Text from outside that could mislead whoever reads it: what names may not hold, and how it is printed. Pure.

Some characters steer a terminal (C0, DEL, C1), break lines (U+2028, U+2029) or turn the direction of writing, so that
a text shows other than it is (Unicode Standard Annex 9). The joiners U+200C and U+200D belong to the spelling of
Persian, Indic scripts and emoji, and letters of scripts that run from right to left are letters like any other.
"""

import re
import unicodedata

# C0, DEL and C1; line and paragraph separator; embeddings, overrides and isolates with the deprecated characters behind
# them; anchors of annotations; unpaired surrogates.
_MISLEADING = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u206f\ufff9-\ufffb\ud800-\udfff]")
_STEERING = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_JOINERS = "\u200c\u200d"


def misleads(text: str) -> bool:
    """Whether the text holds a character that no identity_id, name or group name may hold."""
    return _MISLEADING.search(text) is not None


def steers(text: str) -> bool:
    """Whether the text holds a control character or an unpaired surrogate: the worse part of what misleads."""
    return _STEERING.search(text) is not None


def printable(text: str) -> str:
    """The text for a terminal: what is no visible character, no space and no joiner is replaced by U+FFFD."""
    return text if text.isprintable() else "".join(c if _shows(c) else "\N{REPLACEMENT CHARACTER}" for c in text)


def printable_json(document: bytes) -> bytes:
    """JSON in UTF-8 for a terminal: the same value, with \\uXXXX for what `printable` would replace.

    Line feeds and tabs between the values stay; inside strings JSON has none of them. What is not UTF-8 becomes U+FFFD.
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
