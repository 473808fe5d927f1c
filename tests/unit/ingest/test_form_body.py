"""A multipart/form-data body as texts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import Code, Refused
from ingest.form_body import MAX_FORM_BYTES, is_form, read_form

TYPE = 'multipart/form-data; boundary="b0"'


def part(name: str, value: str | bytes, *lines: str) -> bytes:
    sent = value.encode() if isinstance(value, str) else value
    head = "\r\n".join(["--b0", f'Content-Disposition: form-data; name="{name}"', *lines, "", ""])
    return head.encode() + sent + b"\r\n"


END = b"--b0--\r\n"


def test_fields_are_texts_in_utf_8_and_those_of_one_name_are_joined() -> None:
    body = part("a", "1") + part("ä", "阿\r\nb") + part("a", "2", "Content-Type: text/plain; charset=utf-8") + END
    assert read_form(body, TYPE) == {"a": "1,2", "ä": "阿\r\nb"}


def test_an_empty_value_is_one() -> None:
    assert read_form(part("a", "") + END, TYPE) == {"a": ""}


def test_the_type_is_known_by_its_name() -> None:
    assert is_form("Multipart/Form-Data; boundary=x")
    for other in ("", "application/json", "multipart/mixed; boundary=x", "application/x-www-form-urlencoded"):
        assert not is_form(other)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", TYPE),
        (b'{"a": 1}', TYPE),
        (part("a", "1") + END, "multipart/form-data"),
        (part("a", "1") + END, "multipart/form-data; boundary=other"),
        (b"--b0\r\n\r\nno name\r\n" + END, TYPE),
        (part("a", b"\xff\xfe") + END, TYPE),
        (part("a", "x" * MAX_FORM_BYTES) + END, TYPE),
        (part("a", "1") * 101 + END, TYPE),
        (part("a", "1"), TYPE),
        ((part("a", "1") + END).replace(b"\r\n", b"\n"), TYPE),
    ],
    ids=[
        "empty",
        "json",
        "no boundary",
        "another boundary",
        "no name",
        "no text",
        "too long",
        "too many",
        "no end",
        "only line feeds",
    ],
)
def test_what_is_no_form_of_texts_is_refused(body: bytes, content_type: str) -> None:
    with pytest.raises(Refused) as caught:
        read_form(body, content_type)
    assert caught.value.code is Code.BAD_REQUEST


@given(st.binary(max_size=300), st.text(max_size=20))
def test_whatever_is_sent_is_texts_or_a_refusal(body: bytes, boundary: str) -> None:
    for content_type in (TYPE, f"multipart/form-data; boundary={boundary}"):
        for sent in (body, b"--b0\r\n" + body + b"\r\n--b0--\r\n", part("a", body) + END):
            try:
                texts = read_form(sent, content_type)
            except Refused:
                continue
            assert all(isinstance(text, str) for pair in texts.items() for text in pair)


def test_a_boundary_may_be_quoted_and_other_parts_of_the_type_follow() -> None:
    for content_type in ("multipart/form-data; boundary=b0", 'Multipart/Form-Data;charset=utf-8; BOUNDARY="b0"; x=y'):
        assert read_form(part("a", "1") + END, content_type) == {"a": "1"}


def test_an_end_of_a_line_and_hyphens_in_a_value_are_no_boundary() -> None:
    assert read_form(part("a", "x--b0\r\n--b") + END, TYPE) == {"a": "x--b0\r\n--b"}


def test_a_form_may_have_a_hundred_fields() -> None:
    assert read_form(part("a", "1") * 100 + END, TYPE) == {"a": ",".join("1" * 100)}
