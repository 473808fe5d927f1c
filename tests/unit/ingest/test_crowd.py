"""Whose connection makes way."""

from collections import Counter

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ingest.crowd import Crowd, State


def crowd_of(*connections: tuple[str, State]) -> Crowd[int]:
    """Connections 0, 1, 2 and so on of these peers."""
    crowd: Crowd[int] = Crowd()
    for number, (peer, state) in enumerate(connections):
        crowd.add(number, peer)
        crowd.set_state(number, state)
    return crowd


IDLE, ARRIVING, SERVED = State.IDLE, State.ARRIVING, State.SERVED


def test_the_longest_idle_one_of_the_peer_that_has_most() -> None:
    crowd = crowd_of(("b", IDLE), ("a", SERVED), ("a", IDLE), ("a", IDLE), ("b", IDLE))
    assert crowd.to_close("new") == 2
    crowd.set_state(2, SERVED)
    crowd.set_state(2, IDLE)
    assert crowd.to_close("new") == 3
    assert crowd.to_close("a") == 3, "a peer that has most makes way for itself"


def test_without_an_idle_one_the_request_that_has_been_arriving_for_longest() -> None:
    crowd = crowd_of(("a", SERVED), ("a", ARRIVING), ("a", ARRIVING), ("b", IDLE))
    assert crowd.to_close("new") == 1
    assert crowd.to_close("a") is None, "nobody makes way for who has more, and a request not for one of its peer"


def test_no_request_that_is_served_is_cut_off() -> None:
    crowd = crowd_of(("a", SERVED), ("a", SERVED), ("b", IDLE), ("c", SERVED))
    assert crowd.to_close("new") == 2, "then of the next"
    crowd.set_state(2, SERVED)
    assert crowd.to_close("new") is None


def test_one_connection_each_is_nobody_too_many_but_an_idle_one_makes_way() -> None:
    assert crowd_of(("a", IDLE), ("b", IDLE)).to_close("new") == 0
    assert crowd_of(("a", ARRIVING), ("b", ARRIVING)).to_close("new") is None


class CrowdModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.crowd: Crowd[int] = Crowd()
        self.model: dict[int, tuple[str, State]] = {}
        self.number = 0

    @rule(peer=st.sampled_from("abcdef"))
    def came(self, peer: str) -> None:
        self.number += 1
        self.crowd.add(self.number, peer)
        self.model[self.number] = (peer, State.IDLE)

    @rule(place=st.integers(0, 50), state=st.sampled_from(list(State)))
    def is_now(self, place: int, state: State) -> None:
        if self.model:
            connection = list(self.model)[place % len(self.model)]
            peer, before = self.model[connection]
            self.crowd.set_state(connection, state)
            if before is not state:
                self.model[connection] = (peer, state)

    @rule(place=st.integers(0, 50))
    def went(self, place: int) -> None:
        self.crowd.remove(place)
        self.model.pop(place, None)

    @rule(newcomer=st.sampled_from("abcxyz"))
    def to_close(self, newcomer: str) -> None:
        counts = Counter(peer for peer, _ in self.model.values())
        found = self.crowd.to_close(newcomer)
        if found is None:
            closable = [p for p, state in self.model.values() if state is State.IDLE and counts[p] >= counts[newcomer]]
            assert not closable
            return
        peer, state = self.model[found]
        assert counts[peer] >= counts[newcomer]
        assert state is State.IDLE or (state is State.ARRIVING and counts[peer] > counts[newcomer] + 1)

    @invariant()
    def counts_are_right(self) -> None:
        assert len(self.crowd) == len(self.model)
        for peer, count in Counter(peer for peer, _ in self.model.values()).items():
            assert self.crowd.count(peer) == count


TestCrowdModel = CrowdModel.TestCase
