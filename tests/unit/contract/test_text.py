import json

import pytest

from contract.text import misleads, printable, printable_json, steers
from tests.support.terminal import FRIENDLY, HOSTILE, hostile_characters

REFUSED = [
    *map(chr, range(0x20)),
    *map(chr, range(0x7F, 0xA0)),
    "\u2028",
    "\u2029",
    *"\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u206a\u206f\ufff9",
    "\ud800",
    "\udfff",
]


@pytest.mark.parametrize("character", REFUSED, ids=lambda c: f"U+{ord(c):04X}")
def test_what_steers_breaks_or_turns_misleads(character: str) -> None:
    assert misleads(f"a{character}b")
    assert printable(f"a{character}b") == "a\ufffdb"


def test_what_steers_is_the_worse_part() -> None:
    assert [c for c in REFUSED if steers(c)] == [c for c in REFUSED if ord(c) < 0xA0 or 0xD800 <= ord(c) < 0xE000]


@pytest.mark.parametrize(
    "text", [FRIENDLY, "\u200c", "\u200d", "\u0627\u0644\u0639", "\u00a0\u3000", "\ufe0f", "O'Brien-\u00d8"]
)
def test_scripts_joiners_spaces_and_emoji_are_welcome(text: str) -> None:
    assert not misleads(text)
    assert printable(text) == text
    assert printable_json(json.dumps(text, ensure_ascii=False).encode()).decode() == f'"{text}"'


def test_nothing_hostile_is_left_and_json_means_the_same() -> None:
    assert hostile_characters(printable(HOSTILE)) == ""
    assert len(printable(HOSTILE)) == len(HOSTILE)
    document = json.dumps({HOSTILE: [HOSTILE, FRIENDLY]}, ensure_ascii=False).encode()
    shown = printable_json(document).decode()
    assert hostile_characters(shown) == ""
    assert json.loads(shown) == json.loads(document)


def test_every_character_is_printed_safely_and_means_the_same() -> None:
    for first in range(0, 0x110000, 0x1000):
        text = "".join(chr(n) for n in range(first, first + 0x1000) if not 0xD800 <= n < 0xE000)
        shown = printable_json(json.dumps(text, ensure_ascii=False).encode()).decode()
        assert hostile_characters(shown) == ""
        assert json.loads(shown) == text
        assert hostile_characters(printable(text)) == ""


def test_bytes_that_are_no_utf8_become_visible() -> None:
    assert printable_json(b'"\xff\x9b"').decode() == '"\ufffd\ufffd"'


def test_layout_between_values_stays() -> None:
    assert printable_json('{\n\t"é": 1\r\n}'.encode()).decode() == '{\n\t"é": 1\r\n}'
