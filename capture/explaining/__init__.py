"""Explains one decision: makes it again from what is left of it, and finds what would have changed it.

    values      what is left of a match (`Then`), and the explanation
    gallery     the people of then, and the people of then with another record of one person
    deciding    decides a match again, from its picture or from its evidence, with the inputs of then or others
    comparing   compares the decision with everything that was recorded about it
    consistency whether the records of a decision agree with each other
    checks      what was seen, each check with value and limit, the nearest people
    proposals   what a proposed change is; nearer (search), passing, looks (picture) and scopes propose changes
    matches     the explanation of a match, from all of these
    others      the explanation of other events, from the event alone
    requests    the request that an event implies, where the request is gone
    finding     finds an event and other records in the log
    left        the request, evidence and policy that the log has left; people: the people of then
    log         collects what the log has left of a match; captured: what a capture has

Only finding, left, people, log and captured read anything; all other modules are pure.
"""
