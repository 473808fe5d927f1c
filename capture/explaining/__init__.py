"""Explains one decision: makes it again from what is left of it, and finds what would have changed it.

    values      what is left of a decision (`Then`, `OtherThen`), and the explanation
    gallery     the people of then, and the people of then with another record of one person
    deciding    decides a match again, from its picture or from its evidence, with the inputs of then or others
    differing   compares two records field by field; comparing a match with everything that was recorded about it
    near_limits what follows from a look where values are so near to their limits that the recorded ones decide
    consistency whether the records of a decision agree with each other
    checks      what was seen, each check with value and limit, the nearest people
    proposals   what a proposed change is; nearer (search), passing, looks (picture) and scopes propose changes
    items       items and levels of quality as changes
    matches     the explanation of a match, from all of these
    redoing     which other events are decided again: comparisons (with measurements and detections), enrolments
    trials      single changes of these; demanded has those of quality and size
    others      the explanation of events that are no matches
    requests    the request that an event implies, where the request is gone
    finding     finds an event and other records in the log
    left        the request, evidence and policy that the log has left; people: the people of then
    written     the records of people that an enrolment wrote
    log         collects what the log has left of a decision; captured: what a capture has

Only finding, left, people, log and captured read anything; all other modules are pure.
"""
