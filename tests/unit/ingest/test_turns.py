"""Turns by peer: nobody starves, a peer alone gets everything."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ingest.turns import Turns

PEERS = st.sampled_from(["a", "b", "c", "d", "e"])


def taken(turns: Turns[int], count: int) -> list[int | None]:
    return [turns.take() for _ in range(count)]


def test_a_peer_alone_gets_every_turn_in_order() -> None:
    turns: Turns[int] = Turns()
    for number in range(5):
        turns.put("a", number)
    assert taken(turns, 6) == [0, 1, 2, 3, 4, None]


def test_peers_take_turns_however_many_each_has() -> None:
    turns: Turns[int] = Turns()
    for number in range(100):
        turns.put("a", number)
    turns.take()
    for number in (1000, 1001, 1002):
        turns.put("b", number)
    assert taken(turns, 8) == [1, 2, 1000, 3, 1001, 4, 1002, 5]


def test_a_peer_that_comes_now_and_then_waits_for_no_round() -> None:
    turns: Turns[int] = Turns()
    for peer in range(50):
        for _ in range(5):
            turns.put(f"{peer}", peer)
    taken(turns, 160)
    turns.put("rare", -1)
    assert -1 in taken(turns, 3)


def test_a_peer_that_is_back_at_once_waits_for_its_turn() -> None:
    turns: Turns[int] = Turns()
    for peer in range(10):
        for _ in range(20):
            turns.put(f"{peer}", peer)
    taken(turns, 30)
    turns.put("quick", -1)
    assert -1 in taken(turns, 3)
    turns.put("quick", -1)
    assert -1 not in taken(turns, 8)


@given(st.permutations([*"abcde"] * 12))
def test_of_peers_that_always_wait_all_get_as_much(puts: list[str]) -> None:
    turns: Turns[str] = Turns()
    for peer in puts:
        turns.put(peer, peer)
    taken(turns, 14)  # by then each has had its first turn
    assert Counter(taken(turns, 20)) == dict.fromkeys("abcde", 4)


def test_entries_that_cost_several_turns_leave_the_others_their_share() -> None:
    turns: Turns[str] = Turns()
    for _ in range(100):
        turns.put("bursts", "bursts", 5)
        turns.put("single", "single")
        turns.put("other", "other")
    taken(turns, 3)  # by then each has had its first turn
    counts = Counter(taken(turns, 55))
    assert counts["bursts"] == 5
    assert abs(counts["single"] - counts["other"]) <= 2


def test_a_peer_alone_owes_nobody() -> None:
    turns: Turns[int] = Turns()
    for number in range(4):
        turns.put("a", number, 5)
    assert taken(turns, 4) == [0, 1, 2, 3]


@given(st.lists(PEERS, max_size=60))
def test_every_turn_that_is_asked_for_comes(puts: list[str]) -> None:
    turns: Turns[str] = Turns()
    for peer in puts:
        turns.put(peer, peer)
    assert Counter(taken(turns, len(puts))) == Counter(puts)
    assert turns.take() is None


@given(st.lists(PEERS, max_size=60), st.integers(0, 40), PEERS)
def test_nobody_starves_whoever_comes_meanwhile(puts: list[str], served: int, peer: str) -> None:
    turns: Turns[int] = Turns()
    for other in puts:
        turns.put(other, 0)
    taken(turns, served)
    most = 3 * (len(turns) + 5) + 1
    turns.put(peer, 1)
    came = []
    for turn in range(most):
        # Every turn a peer comes that nobody has seen before.
        turns.put(f"new {turn}", 2)
        came.append(turns.take())
    assert 1 in came, f"its turn did not come in {most}"


class TurnsModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.turns: Turns[int] = Turns()
        self.model: list[tuple[str, int]] = []
        self.count = 0

    @rule(peer=st.integers(0, 30).map(str), turns=st.integers(1, 5))
    def put(self, peer: str, turns: int) -> None:
        self.count += 1
        self.turns.put(peer, self.count, turns)
        self.model.append((peer, self.count))

    @rule()
    def take(self) -> None:
        entry = self.turns.take()
        if not self.model:
            assert entry is None
            return
        (found,) = [pair for pair in self.model if pair[1] == entry]
        assert found == next(pair for pair in self.model if pair[0] == found[0]), "a peer's own go in order"
        self.model.remove(found)

    @rule(place=st.integers(0, 100))
    def remove(self, place: int) -> None:
        if self.model:
            peer, entry = self.model.pop(place % len(self.model))
            assert self.turns.remove(peer, entry)
            assert not self.turns.remove(peer, entry)

    @rule()
    def push_out(self) -> None:
        entry = self.turns.push_out()
        if self.model:
            (found,) = [pair for pair in self.model if pair[1] == entry]
            waiting = Counter(peer for peer, _ in self.model)
            assert waiting[found[0]] == max(waiting.values())
            assert found == [pair for pair in self.model if pair[0] == found[0]][-1]
            self.model.remove(found)

    @invariant()
    def counts_are_right(self) -> None:
        waiting = Counter(peer for peer, _ in self.model)
        assert len(self.turns) == len(self.model)
        assert all(self.turns.waiting(peer) == count for peer, count in waiting.items())


TestTurnsModel = TurnsModel.TestCase


def test_one_more_entry_waits_a_round_for_each_of_its_peer() -> None:
    turns: Turns[int] = Turns()
    for peer in "abcd":
        for _ in range(9):
            turns.put(peer, 0)
    taken(turns, 12)
    assert turns.rounds("new") == 0
    before = turns.rounds("a")
    assert before == 4 * (turns.waiting("a") + 1)
    turns.put("a", 1)
    took = 0
    while turns.take() != 1:
        took += 1
        turns.put("bcd"[took % 3], 0)
    assert took < before


def test_peers_that_came_once_are_forgotten() -> None:
    turns: Turns[int] = Turns()
    for _ in range(3):
        turns.put("always", 0)
    for number in range(10_000):
        turns.put(f"{number}", number)
        turns.put("always", 0)
        taken(turns, 2)
    assert len(turns._round) < 100
