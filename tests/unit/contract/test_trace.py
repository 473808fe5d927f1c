"""Which trace contexts are passed on, by the rules of W3C Trace Context."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.trace import LONGEST_STATE, Trace, trace_of

TRACE_ID, PARENT_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
VALID = f"00-{TRACE_ID}-{PARENT_ID}-01"


def parent_of(*values: str) -> str | None:
    found = Trace.read(values, ())
    return None if found is None else found.parent


def state_of(*values: str) -> str | None:
    found = Trace.read((VALID,), values)
    assert found is not None, "a bad tracestate takes nothing from the traceparent"
    assert found.parent == VALID
    return found.state


@pytest.mark.parametrize("flags", ["00", "01", "02", "ff"])
def test_a_traceparent_of_this_version_is_passed_on_unchanged(flags):
    assert parent_of(f"00-{TRACE_ID}-{PARENT_ID}-{flags}") == f"00-{TRACE_ID}-{PARENT_ID}-{flags}"


def test_white_space_around_the_value_belongs_to_http():
    assert parent_of(f" {VALID}\t") == VALID


@pytest.mark.parametrize(
    "value",
    [
        "",
        "00-11-22-01",
        f"ff-{TRACE_ID}-{PARENT_ID}-01",
        f"ff-{TRACE_ID}-{PARENT_ID}-01-more",
        f"00-{'0' * 32}-{PARENT_ID}-01",
        f"cc-{'0' * 32}-{PARENT_ID}-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"00-{TRACE_ID.upper()}-{PARENT_ID}-01",
        f"00-{TRACE_ID}-{PARENT_ID}-0",
        f"00-{TRACE_ID}-{PARENT_ID}-0g",
        f"00-{TRACE_ID}-{PARENT_ID}-01-",
        f"00-{TRACE_ID}-{PARENT_ID}-01-more",
        f"00-{TRACE_ID}-{PARENT_ID}-011",
        f"00-{TRACE_ID}{PARENT_ID}-01",
        f"0-{TRACE_ID}-{PARENT_ID}-01",
        f"0x-{TRACE_ID}-{PARENT_ID}-01",
        f"00-{TRACE_ID[:-1]}-{PARENT_ID}-01",
        f"00-{TRACE_ID}-{PARENT_ID}-01\n",
        f"00-{TRACE_ID[:-1]}\u0663-{PARENT_ID}-01",
        f"cc-{TRACE_ID}-{PARENT_ID}-01more",
        f"cc-{TRACE_ID}-{PARENT_ID}-01.more",
        f"cc-{TRACE_ID}-{PARENT_ID}",
        "x" * 100_000,
    ],
)
def test_what_is_no_traceparent_is_left_out(value):
    assert parent_of(value) is None


@pytest.mark.parametrize("end", ["", "-", "-more", "-more-of-it"])
@pytest.mark.parametrize(("flags", "kept"), [("01", "01"), ("03", "01"), ("fe", "00")])
def test_of_a_later_version_what_this_one_knows_is_passed_on(end, flags, kept):
    assert parent_of(f"cc-{TRACE_ID}-{PARENT_ID}-{flags}{end}") == f"00-{TRACE_ID}-{PARENT_ID}-{kept}"


def test_two_traceparents_contradict_each_other_even_where_they_are_equal():
    assert parent_of() is None
    assert parent_of(VALID, VALID) is None


@pytest.mark.parametrize(
    "value",
    [
        "congo=t61rcWkgMzE",
        "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
        "rojo=1 ,\tcongo=2",
        "rojo=1,,congo=2",
        "fw529a3039@dt=FfffffeebbccAbcd@#! ~",
        "0a=1",
        f"{'k' * 256}={'v' * 255}",
        ",".join(f"k{n}={n}" for n in range(32)),
        "a=" + "b" * 255 + ",c=" + "d" * 252,
    ],
)
def test_a_tracestate_is_passed_on_unchanged(value):
    assert len(value) <= LONGEST_STATE
    assert state_of(value) == value


@pytest.mark.parametrize(
    "value",
    [
        "",
        " , ,",
        "novalue",
        "=1",
        "a=",
        "a=1=2",
        "A=1",
        "_a=1",
        "a b=1",
        "a =1",
        "a=1\x00",
        "a=\u00e9",
        "a=1\n",
        "a=1,a=2",
        f"{'k' * 257}=1",
        f"a={'v' * 257}",
        ",".join(f"k{n}={n}" for n in range(33)),
        "a=" + "b" * 255 + ",c=" + "d" * 253,
        "x" * 100_000,
        "," * 100_000,
    ],
)
def test_what_is_no_tracestate_or_too_long_is_left_out(value):
    assert state_of(value) is None


def test_several_tracestates_are_one_list():
    assert state_of("rojo=1", "congo=2") == "rojo=1,congo=2"
    assert state_of("rojo=1", "") == "rojo=1"
    assert state_of("rojo=1", "rojo=2") is None


def test_a_tracestate_alone_is_no_context():
    assert Trace.read((), ("rojo=1",)) is None
    assert Trace.read(("bad",), ("rojo=1",)) is None


@given(st.text(), st.lists(st.text()))
def test_whatever_a_caller_sends_what_is_passed_on_is_valid_and_read_again_as_it_is(parent, states):
    for candidate in (parent, VALID, f"cc-{TRACE_ID}-{PARENT_ID}-01-{parent}"):
        found = Trace.read((candidate,), states)
        if found is not None:
            assert trace_of(found.headers) == found
            for _, value in found.headers:
                assert value.replace(b"\t", b" ").decode("ascii").isprintable()


def test_the_headers_of_a_record_are_read_like_those_of_a_call():
    assert trace_of(()) is None
    assert trace_of((("traceparent", VALID.encode()), ("other", b"\xff"))) == Trace(VALID)
    assert trace_of((("tracestate", b"a=1"), ("traceparent", VALID.encode()))) == Trace(VALID, "a=1")
    assert trace_of((("traceparent", b"\xff"), ("tracestate", b"a=1"))) is None
    assert trace_of((("traceparent", VALID.encode()), ("tracestate", b"a=\xff"))) == Trace(VALID)
