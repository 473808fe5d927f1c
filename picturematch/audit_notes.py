"""The audit records of commands that change the log themselves, beside or without a running server."""

import time
from collections.abc import Mapping, Sequence
from uuid import uuid4

from broker.port import NewRecord
from contract.audit import LOG_OPERATOR, MOST_OBJECTS, UNKNOWN, ChangeRecord, encode_audit
from contract.audit_details import Detail
from contract.topics import Topics


def log_change(
    topics: Topics,
    kind: str,
    outcome: str,
    objects: Sequence[str],
    details: Mapping[str, Detail] | None = None,
    request_id: str | None = None,
) -> NewRecord:
    """Return the audit record of a change that a command makes in the log now.

    `kind`: one of contract.kinds.LOG_KINDS. `objects`: what was changed, by name or id. `request_id`: the id of the
    event about the change; None: there is none, and an id is made.
    """
    now_s = time.time()
    record = ChangeRecord(
        request_id=request_id or str(uuid4()),
        actor=LOG_OPERATOR,
        role=None,
        peer=UNKNOWN,
        kind=kind,
        outcome=outcome,
        objects=tuple(objects[:MOST_OBJECTS]),
        objects_total=len(objects),
        details=dict(details or {}),
        time=now_s,
        received_time=now_s,
    )
    return NewRecord(topics.audit, record.actor.encode(), encode_audit(record), partition=0)
