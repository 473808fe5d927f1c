"""Makes captures of decisions about made-up faces, as long as a measurement needs them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np

from bench.people import made_up_features, people_records
from capture.folder import CaptureFolder
from capture.replaying.embedder import EmbedderFacts
from capture.timeline import Timeline
from contract.captures.convert import decision_of, line_of
from contract.captures.values import CapturedDecision, CapturedRequest, CaptureLine, ConfigLine, PeopleLine
from contract.configs import policy_record
from contract.events import RequestPlace
from contract.requests import MatchRequest
from contract.vectors import Vector, Vectors
from engine.calls.match import MatchCall, conclude
from engine.calls.matching import CANDIDATES
from engine.calls.reporting import Circumstances
from engine.context import Context
from engine.gallery.people import Snapshot
from engine.gallery.port import Candidate, Scope
from engine.gallery.scope import resolve_scope
from engine.policy import Policy
from engine.vision.networks.standin import stand_in_models
from engine.vision.ports import Embedding, Face, Image, ModelSet
from models.manifest import default_manifest

IDENTITY = "made-up-embedder-r1"
POLICY = Policy()
_BLOCK = 1000
_PICTURE = b"no picture"
_BEGAN_S = 1_700_000_000.0
_KNOWN = 0.9
"""The share of requests that show an enrolled person."""


class MadeUpEmbedder:
    """The facts about an embedder with the dimension and the curve of this release; it embeds nothing."""

    def __init__(self) -> None:
        facts = EmbedderFacts.of_manifest(default_manifest(), IDENTITY)
        self.dimension, self.threshold, self.fmr_curve = facts.dimension, facts.threshold, facts.fmr_curve
        self.covered_curves = facts.covered_curves

    def __call__(self, image: Image, face: Face) -> Embedding:
        """Raise an error, because made-up faces have no picture."""
        raise AssertionError("a made-up face has no picture")


def made_up_context() -> Context:
    """Return the context in which the made-up decisions were made."""
    stand_ins = stand_in_models()
    identities = tuple((role, IDENTITY if role == "embedder" else name) for role, name in stand_ins.identities)
    return Context(replace(stand_ins, embedder=MadeUpEmbedder(), identities=identities), POLICY, 1, lambda: 0.0)


def make_capture(folder: Path, decisions: int, people: int) -> None:
    """Write a capture of so many decisions among so many people, with evidence, and with one file as every picture."""
    context = made_up_context()
    features = made_up_features(people, context.models.embedder.dimension)
    records = people_records(features, IDENTITY, _BEGAN_S)
    snapshot = Timeline(records, context.models.embedder.dimension, IDENTITY).at(len(records))
    policy = policy_record(msgspec.to_builtins(POLICY))
    with CaptureFolder(folder) as out:
        out.append_people(records)
        out.append_configs([ConfigLine(key=policy.key.decode(), value=msgspec.to_builtins(POLICY))])
        out.describe(people_from=snapshot.version)
        out.keep_picture(_PICTURE)
        chance = np.random.default_rng(11)
        for numbers in (range(decisions)[at : at + _BLOCK] for at in range(0, decisions, _BLOCK)):
            probes = _probes(features, len(numbers), chance)
            found = snapshot.gallery.best_of_each(probes, _scope(snapshot), CANDIDATES)
            out.append(
                [
                    _line(number, probe, candidates, snapshot, context, policy.id)
                    for number, probe, candidates in zip(numbers, probes, found, strict=True)
                ]
            )


def _probes(features: Vectors, count: int, chance: np.random.Generator) -> Vectors:
    """Return faces of enrolled people with noise, so that their cosines are about .3 to .8, and of strangers."""
    dimension = features.shape[1]
    noise = chance.normal(size=(count, dimension)).astype(np.float32) / np.float32(np.sqrt(dimension))
    share = chance.uniform(0.3, 0.8, size=(count, 1)).astype(np.float32)
    shown = features[chance.integers(0, len(features), count)]
    probes = np.where(chance.random((count, 1)) < _KNOWN, share * shown + np.sqrt(1 - share**2) * noise, noise)
    unit: Vectors = (probes / np.linalg.norm(probes, axis=1, keepdims=True)).astype(np.float32)
    return unit


def _request(number: int) -> MatchRequest:
    return MatchRequest(
        request_id=f"made-up-{number:09}",
        device_ip=f"10.0.{number % 7}.{number % 20}",
        picture=_PICTURE,
        compare_time_s=_BEGAN_S + number,
        received_time_s=_BEGAN_S + number,
    )


def _scope(snapshot: Snapshot) -> Scope:
    return resolve_scope(_request(0), snapshot.site, POLICY).scope


def _line(
    number: int, probe: Vector, candidates: Sequence[Candidate], snapshot: Snapshot, context: Context, policy: str
) -> CaptureLine:
    request, call = _request(number), MatchCall()
    resolved = resolve_scope(request, snapshot.site, POLICY)
    decision = replace(conclude(request, resolved, candidates, snapshot, context), probe=probe)
    models = dict(context.models.identities)
    at = Circumstances("requests", 0, number, _BEGAN_S + number, snapshot.version, models, policy=policy)
    recorded = decision_of(call.event(request, decision, context, at), call.evidence(request, decision, context, at))
    return line_of(request, RequestPlace(topic="requests", partition=0, offset=number), recorded)


def make_look_capture(
    folder: Path, jpegs: Sequence[bytes], count: int, records: Sequence[PeopleLine], models: ModelSet
) -> None:
    """Write a capture of so many requests with these pictures in turn, decided among the people of these records."""
    version = records[-1].offset + 1
    decision = CapturedDecision(outcome="stranger", gallery_version=version, models=dict(models.identities))
    with CaptureFolder(folder) as out:
        pictures = [out.keep_picture(jpeg) for jpeg in jpegs]
        out.append_people(records)
        out.describe(people_from=version)
        for first in range(0, count, _BLOCK):
            out.append(
                [
                    CaptureLine(
                        request_id=f"picture-{number}",
                        request=CapturedRequest(picture=pictures[number % len(pictures)], device_ip="d"),
                        received_time=_BEGAN_S + number,
                        decision=decision,
                    )
                    for number in range(first, min(first + _BLOCK, count))
                ]
            )
