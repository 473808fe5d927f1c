"""A site whose requests are decided by the engine with the stand-in networks and kept as a capture."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from msgspec import structs

from capture.folder import CaptureFolder
from capture.timeline import Timeline
from contract.captures.convert import decision_of, line_of
from contract.captures.values import CaptureLine, ConfigLine, PeopleLine
from contract.configs import model_set_record, policy_record
from contract.errors import Refusal
from contract.events import RequestPlace
from contract.people.keys import person_key
from contract.pictures.digest import picture_digest
from contract.requests import MatchRequest
from engine.calls.match import MatchCall
from engine.calls.matching import MatchDecision
from engine.calls.reporting import Circumstances
from engine.gallery.people import Snapshot
from engine.look import Wanted, look
from engine.policy import Policy
from tests.support.faces import MODELS, context, person_with, photo
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

    def write(self, records: Any) -> None:
        first = self.people.version
        super().write(records)
        self.records += [
            PeopleLine(offset=first + place, time=RECEIVED_S + first + place, key=key, value=value)
            for place, (key, value) in enumerate(records)
        ]

    def enrol(self, identity_id: str, seed: int, **fields: Any) -> Any:
        decision = super().enrol(identity_id, seed, **fields)
        picture = photo(seed)
        self.photos[picture_digest(picture)] = picture
        return decision

    def feature(self, identity_id: str, seed: int) -> Sequence[tuple[bytes, bytes | None]]:
        """The records of a person who was enrolled without a photo."""
        embedding = look(photo(seed), Wanted(), context()).embedding
        assert not isinstance(embedding, Refusal)
        return person_with(identity_id, embedding.vector)

    def delete(self, identity_id: str) -> None:
        self.write([(person_key(identity_id), None)])

    def match(
        self, picture: bytes, refusal: Refusal | None = None, version: int | None = None, **fields: Any
    ) -> MatchDecision:
        """Decide a match as a processor does, or refuse it, and keep it. `version`: of a processor that lags behind."""
        number = len(self.lines)
        times = {"compare_time_s": RECEIVED_S + number, "received_time_s": RECEIVED_S + number}
        request = MatchRequest(
            **{"request_id": f"r{number}", "device_ip": "10.0.0.1", "picture": picture, **times, **fields}
        )
        snapshot, given, call = self.snapshot(version), context(self.policy, self.models), MatchCall()
        if refusal is None:
            decision = call.decide(request, snapshot, given)
        else:
            decision = call.refuse(request, refusal, snapshot, given)
        config = policy_record(msgspec.to_builtins(self.policy))
        self.policies[config.id] = self.policy
        models, digests = dict(MODELS.identities), tuple(map(picture_digest, request.pictures))
        at = Circumstances(
            "requests", 0, number, RECEIVED_S + number, snapshot.version, models, digests, policy=config.id
        )
        event, evidence = call.event(request, decision, given, at), call.evidence(request, decision, given, at)
        place = RequestPlace(topic="requests", partition=0, offset=number)
        self.lines.append(line_of(request, place, decision_of(event, evidence)))
        for sent in (*request.pictures, request.ir_picture):
            if sent is not None:
                self.pictures[picture_digest(sent)] = sent
        return decision

    def snapshot(self, version: int | None) -> Snapshot:
        if version is None:
            return self.people.snapshot()
        return Timeline(self.records, MODELS.embedder.dimension, MODELS.embedder_identity).at(version)

    def change_last(self, **fields: Any) -> None:
        """Change the decision of the last line."""
        line = self.lines[-1]
        assert line.decision is not None
        self.lines[-1] = structs.replace(line, decision=structs.replace(line.decision, **fields))

    def capture(
        self, folder: Path, *, people_from: int | None = 0, photos: bool = True, unset: Sequence[str] = ()
    ) -> Path:
        """Write the capture. `unset`: the settings that the policies lack, because an older release recorded them."""
        with CaptureFolder(folder) as out:
            for picture in [*self.pictures.values(), *(self.photos.values() if photos else ())]:
                out.keep_picture(picture)
            out.append_people(self.records)
            models = dict(MODELS.identities)
            policies = [
                ConfigLine(key=f"policy/{i}", value={k: v for k, v in msgspec.to_builtins(p).items() if k not in unset})
                for i, p in self.policies.items()
            ]
            model_set = model_set_record(models).key.decode()
            out.append_configs([ConfigLine(key=model_set, value=models), *policies])
            out.append(self.lines)
            out.describe(people_from=people_from, photos="all" if photos else "none")
        return folder
