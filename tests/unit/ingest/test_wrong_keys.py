import pytest

from contract.networks import address_of
from ingest.peer import peer_key
from ingest.wrong_keys import PROVEN, PROVEN_S, STRANGER, WrongKeys

HERE, ELSEWHERE = "192.0.2.1", "192.0.2.2"


def spend(keys: WrongKeys, peer: str, now_s: float, most: int = 1000) -> int:
    """How many wrong keys are judged there at that moment."""
    judged = 0
    while judged < most and keys.wait_s(peer, now_s) == 0:
        keys.wrong(peer, now_s)
        judged += 1
    return judged


def test_so_many_wrong_keys_are_judged_and_then_one_now_and_then() -> None:
    keys = WrongKeys()
    assert spend(keys, HERE, 0.0) == STRANGER.burst
    wait_s = keys.wait_s(HERE, 0.0)
    assert wait_s == pytest.approx(1 / STRANGER.per_second)
    assert spend(keys, HERE, wait_s / 2) == 0
    assert spend(keys, HERE, wait_s) == 1
    assert spend(keys, HERE, 1e6) == STRANGER.burst, "what was left alone long enough starts afresh, and with no more"


def test_asking_costs_nothing() -> None:
    keys = WrongKeys()
    spend(keys, HERE, 0.0)
    waits = [keys.wait_s(HERE, 0.0) for _ in range(1000)]
    assert set(waits) == {waits[0]}


def test_an_hour_of_guessing_is_bounded_by_the_rate() -> None:
    keys = WrongKeys()
    judged = sum(spend(keys, HERE, second / 10) for second in range(36_000))
    assert judged <= STRANGER.burst + 3600 * STRANGER.per_second + 1


def test_the_last_key_that_is_judged_says_so() -> None:
    keys = WrongKeys()
    told = [keys.wrong(HERE, 0.0) for _ in range(STRANGER.burst)]
    assert told == [False] * (STRANGER.burst - 1) + [True]


def test_others_are_not_concerned() -> None:
    keys = WrongKeys()
    spend(keys, HERE, 0.0)
    assert keys.wait_s(ELSEWHERE, 0.0) == 0


def test_where_a_right_key_came_from_more_wrong_ones_are_borne_for_an_hour() -> None:
    keys = WrongKeys()
    keys.right(HERE, 0.0)
    assert spend(keys, HERE, 1.0) == PROVEN.burst
    keys = WrongKeys()
    keys.right(HERE, 0.0)
    assert spend(keys, HERE, PROVEN_S) == STRANGER.burst


def test_a_right_key_forgives_nothing() -> None:
    keys = WrongKeys()
    keys.right(HERE, 0.0)
    spend(keys, HERE, 0.0)
    keys.right(HERE, 0.0)
    assert keys.wait_s(HERE, 0.0) > 0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("fe80::1%eth0", "fe80::2%eth0", True),
    ],
)
def test_what_one_machine_owns_is_one_peer(one: str, other: str, same: bool) -> None:
    keys = WrongKeys()
    spend(keys, peer_key(address_of(one)), 0.0)
    assert (keys.wait_s(peer_key(address_of(other)), 0.0) > 0) is same


def test_the_table_has_a_bound_and_forgets_the_quietest() -> None:
    keys = WrongKeys(capacity=3)
    for number in range(3):
        spend(keys, f"192.0.2.{number}", 0.0)
    keys.wrong("192.0.2.0", 0.0)
    for number in range(3, 5):
        spend(keys, f"192.0.2.{number}", 0.0)
        assert len(keys) == 3
    assert keys.wait_s("192.0.2.0", 0.0) > 0, "it was heard of last"
    assert keys.wait_s("192.0.2.1", 0.0) == 0
