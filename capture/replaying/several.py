"""What a replay must know about pictures in which several faces were searched for. Pure.

The evidence has the embedding of the face that the answer is about, and not those of the others. So with the people
and the policy of then the recorded decision comes out again, and with any others the picture must be looked at, because
another face may then be the one that the answer is about.
"""

from dataclasses import replace

from capture.rows import Difference
from contract.captures.values import CapturedDecision
from engine.look import Wanted

SEVERAL_FACES = (
    "several of its faces were searched for, and the evidence has the embedding of one; the answer may now be about"
    " another face"
)


def without_idle(then: CapturedDecision, wanted: Wanted, pictures: int) -> Wanted:
    """Return the parameters of a look without those that make no difference in the pictures of a decision.

    In a picture of at most one face, the rule that chooses a face makes none, nor do the faces beside it. Of several
    pictures no other face is looked at; but the number of faces is recorded for the best one only, so that the rule may
    make a difference in the others.
    """
    if pictures > 1:
        return replace(wanted, beside="nobody")
    if then.faces is None or then.faces > 1:
        return wanted
    return replace(wanted, face="largest", beside="nobody")


def faces_differences(then: CapturedDecision, now: CapturedDecision) -> tuple[Difference, ...]:
    """Return the difference between the outcomes and people of all faces, where the request asked for all of them."""
    before, after = _in_words(then), _in_words(now)
    return () if before == after else (Difference("faces", before, after),)


def _in_words(decision: CapturedDecision) -> str:
    return ", ".join(f"{face.outcome} {face.identity_id}".rstrip() for face in decision.searched)
