"""Finds the faces that an embedder has no record of and cannot get, from the log, with the reason for each."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from msgspec import structs

from contract.people.coverage import EnrolledFace
from engine.context import Context
from picturematch.reembedding import FACES_AT_ONCE, EnrolledPeople, LeftBehind, prepared_face
from picturematch.shell import Steps, progress


@dataclass(frozen=True, slots=True)
class Left:
    """`faces`: those that are left behind, in order; `waiting`: how many others have no record of the embedder yet."""

    faces: Sequence[LeftBehind]
    waiting: int


async def find_left_behind(people: EnrolledPeople, context: Context, jobs: int) -> Left:
    """Return the faces without a record of the embedder that cannot be embedded; every photo of such a face is read.

    `people` are entered; `context` has the networks of the embedder; `jobs` threads look at the photos.
    """
    # Templates of covered faces make no face usable, and would take most of the time.
    policy = structs.replace(context.policy, covered_templates=False)
    given, missing = replace(context, policy=policy), people.missing()
    found: list[LeftBehind] = []
    with ThreadPoolExecutor(jobs, "photo") as pool, progress("looking at photos", len(missing)) as steps:
        for first in range(0, len(missing), FACES_AT_ONCE):
            some = missing[first : first + FACES_AT_ONCE]
            reasons = await asyncio.gather(*(_reason(people, face, given, pool, steps) for face in some))
            found += [
                LeftBehind(face.identity_id, face.number, reason)
                for face, reason in zip(some, reasons, strict=True)
                if reason is not None
            ]
    return Left(found, len(missing) - len(found))


async def _reason(
    people: EnrolledPeople, face: EnrolledFace, context: Context, pool: ThreadPoolExecutor, steps: Steps
) -> str | None:
    """Return why a face cannot be embedded; None: it can."""
    prepared = await prepared_face(people, face, context, pool)
    steps.step()
    return prepared if isinstance(prepared, str) else None
