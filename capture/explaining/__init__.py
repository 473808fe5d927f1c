"""Explains one decision: recomputes it from what is left of it, and finds what would have changed it.

    values     what is left of a match (`Then`), and the explanation
    gallery    the people of then, and the people with one record changed
    deciding   decides a match again, from its picture or from its embedding
    comparing  compares the recomputed decision with the recorded one
    checks     what was seen, each check with value and limit, the candidates
    changes    the single changes that might have led to another outcome
    matches    the explanation of a match, from all of these
    others     the explanation of other events, from the event alone
    log        finds in the log what is left of an event
    captured   finds the same in a capture

All modules except log and captured are pure.
"""
