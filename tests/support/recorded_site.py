"""A site whose requests are decided by the engine with the stand-in networks and kept as a capture."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from msgspec import structs

from capture.folder import CaptureFolder
from contract.captures.convert import decision_of, line_of
from contract.captures.values import CaptureLine, ConfigLine, PeopleLine
from contract.configs import policy_record
from contract.errors import Refusal
from contract.events import RequestPlace
from contract.people.keys import person_key
from contract.pictures.digest import picture_digest
from contract.requests import MatchRequest
from engine.calls.match import MatchCall, MatchDecision
from engine.calls.reporting import Circumstances
from engine.policy import Policy
from tests.support.faces import MODELS, context
from tests.support.town import Town

RECEIVED_S = 1_700_000_000.0


@dataclass
class RecordedSite(Town):
    """People and matches; everything that happens is kept for the capture."""

    records: list[PeopleLine] = field(default_factory=list)
    lines: list[CaptureLine] = field(default_factory=list)
    pictures: dict[str, bytes] = field(default_factory=dict)
    photos: dict[str, bytes] = field(default_factory=dict)
    policies: dict[str, Policy] = field(default_factory=dict)
    version: int | None = None
    """The version at which matches are decided; None: the newest."""

    def write(self, records: Any) -> None:
        first = self.people.version
        super().write(records)
        self.records += [
            PeopleLine(offset=first + place, time=RECEIVED_S + first + place, key=key, value=value)
            for place, (key, value) in enumerate(records)
        ]

    def enrol(self, identity_id: str, seed: int, **fields: Any) -> Any:
        decision = super().enrol(identity_id, seed, **fields)
        from tests.support.faces import photo

        picture = photo(seed)
        self.photos[picture_digest(picture)] = picture
        return decision

    def delete(self, identity_id: str) -> None:
        self.write([(person_key(identity_id), None)])

    def match(self, picture: bytes, refusal: Refusal | None = None, **fields: Any) -> MatchDecision:
        """Decide a match as a processor does, or refuse it, and keep it."""
        number = len(self.lines)
        times = {"compare_time_s": RECEIVED_S + number, "received_time_s": RECEIVED_S + number}
        request = MatchRequest(
            **{"request_id": f"r{number}", "device_ip": "10.0.0.1", "picture": picture, **times, **fields}
        )
        snapshot, given, call = self.people.snapshot(), context(self.policy), MatchCall()
        if refusal is None:
            decision = call.decide(request, snapshot, given)
        else:
            decision = call.refuse(request, refusal, snapshot, given)
        config = policy_record(msgspec.to_builtins(self.policy))
        self.policies[config.id] = self.policy
        models = dict(MODELS.identities)
        at = Circumstances("requests", 0, number, RECEIVED_S + number, snapshot.version, models, policy=config.id)
        event, evidence = call.event(request, decision, given, at), call.evidence(request, decision, given, at)
        place = RequestPlace(topic="requests", partition=0, offset=number)
        self.lines.append(line_of(request, place, decision_of(event, evidence)))
        for sent in (request.picture, request.ir_picture):
            if sent is not None:
                self.pictures[picture_digest(sent)] = sent
        return decision

    def change_last(self, **fields: Any) -> None:
        """Change the decision of the last line."""
        line = self.lines[-1]
        assert line.decision is not None
        self.lines[-1] = structs.replace(line, decision=structs.replace(line.decision, **fields))

    def capture(self, folder: Path, *, people_from: int | None = 0, photos: bool = True) -> Path:
        """Write the capture."""
        with CaptureFolder(folder) as out:
            for picture in [*self.pictures.values(), *(self.photos.values() if photos else ())]:
                out.keep_picture(picture)
            out.append_people(self.records)
            out.append_configs(
                [
                    ConfigLine(key=f"policy/{name}", value=msgspec.to_builtins(policy))
                    for name, policy in self.policies.items()
                ]
            )
            out.append(self.lines)
            out.describe(people_from=people_from, photos="all" if photos else "none")
        return folder
