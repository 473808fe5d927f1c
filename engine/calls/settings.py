"""Settings: set settings of the site (PUT of Configs and PrettyScore, POST of HistoryEventUrl).

The processor that decides about a request compares it with the settings that its own operator has pinned. All requests
are decided one after the other, so two that contradict each other cannot both succeed.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import structs

from contract.answers import Answer, SettingsAnswer
from contract.codec import encode
from contract.errors import Refusal, Refused
from contract.events import Event
from contract.kinds import kind_of
from contract.people.keys import site_key
from contract.people.site import Site, site_key_of
from contract.site_requests import SettingsRequest
from contract.site_settings import SCORE_AT_THRESHOLD, SCORES, SITE_SETTINGS, laid_over, with_values
from engine.calls.call import Change
from engine.calls.people import (
    NOTHING_PREPARED,
    PEOPLE_UNREADABLE,
    ChangeDecision,
    PeopleNow,
    Prepared,
    refuse_change,
)
from engine.calls.reporting import Circumstances
from engine.context import Context
from engine.gallery.people import Snapshot


class SettingsCall(Change[SettingsRequest]):
    """The kind of call that sets settings of the site."""

    kind = kind_of(SettingsRequest)
    event_type = "picturematch.site.v1"
    outcomes = ("changed", "refused", "expired")
    request_type = SettingsRequest

    def change(
        self, request: SettingsRequest, prepared: Prepared, people: PeopleNow, context: Context
    ) -> ChangeDecision:
        """Set each setting that can be set, or all or none of them; the answer names those that cannot be set.

        Raises:
            Refused: a record about the people or the site cannot be read.
        """
        if people.unreadable:
            raise Refused.of(PEOPLE_UNREADABLE)
        values, failed = _checked(request.values, context.pinned)
        contradicting = _contradicting(values, people.site, context)
        failed |= dict.fromkeys(contradicting, f"{SCORE_AT_THRESHOLD} must lie within {SCORES}")
        if failed and request.all_or_none:
            values = {}
        values = {name: value for name, value in values.items() if name not in contradicting}
        site, records = with_values(people.site, values, request.received_time_s)
        return ChangeDecision(
            "changed" if values else "refused",
            SettingsAnswer(values=values, failed=failed),
            site=site if records else None,
            others=tuple((site_key(site_key_of(record)), encode(record)) for record in records),
        )

    def refuse(
        self, request: SettingsRequest, refusal: Refusal, snapshot: Snapshot, context: Context
    ) -> ChangeDecision:
        """Return the decision that answers a request with that refusal."""
        return refuse_change(refusal, NOTHING_PREPARED)

    def answer(
        self, request: SettingsRequest, decision: ChangeDecision, context: Context, photo: bytes | None
    ) -> Answer:
        """Return the answer to a request that succeeded."""
        return decision.require_answer()

    def event(self, request: SettingsRequest, decision: ChangeDecision, context: Context, at: Circumstances) -> Event:
        """Return the event that records the decision; its name is the names of the settings that were set."""
        changed = decision.answer.values if isinstance(decision.answer, SettingsAnswer) else {}
        event = at.event(self.kind, request, decision.outcome, decision.refusal)
        return structs.replace(event, name=", ".join(sorted(changed)))


def _checked(sent: Mapping[str, Any], pinned: frozenset[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the values that may be set, as they are stored, and the reasons why the others may not."""
    values: dict[str, Any] = {}
    failed: dict[str, str] = {}
    for name, value in sent.items():
        setting = SITE_SETTINGS.get(name)
        if setting is None:
            failed[name] = "this server has no such setting"
        elif (pin := setting.pins(pinned)) is not None:
            failed[name] = f"the operator has pinned this value by the setting {pin}"
        else:
            try:
                values[name] = None if value is None else setting.rule.check(value, name)
            except Refused as refused:
                failed[name] = refused.message
    return values, failed


def _contradicting(values: Mapping[str, Any], site: Site, context: Context) -> frozenset[str]:
    """Return the names of those values after which the score at the threshold would lie outside of the scores."""
    sent = frozenset({SCORES, SCORE_AT_THRESHOLD} & values.keys())
    after, _ = with_values(site, {name: values[name] for name in sent})
    laid, operators = laid_over(after, context.pinned), context.operators_policy
    low, _, high = laid.get(SCORES, operators.score_range)
    accepted = laid.get(SCORE_AT_THRESHOLD, operators.accepted_score)
    return frozenset() if accepted is None or low < accepted < high else sent
