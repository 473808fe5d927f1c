"""People for benchmarks: made-up unit vectors, enrolled by feature."""

import asyncio

import numpy as np

from clients.http import Client
from contract.http import USERS_PATH
from contract.vectors import Vector

_AT_A_TIME = 32


def made_up_features(count: int, dimension: int) -> Vector:
    """`count` unit vectors, count x dimension float32; the same every time."""
    vectors = np.random.default_rng(7).normal(size=(count, dimension)).astype(np.float32)
    unit: Vector = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


async def enrol_features(url: str, features: Vector) -> None:
    """Enrol a person per row at a running server.

    Raises:
        RuntimeError: one was refused.
    """
    async with Client(url, timeout_s=60) as client:

        async def enrol(number: int) -> None:
            body = {"identity_id": f"bench-{number}", "import_mode": True, "feature": features[number].tolist()}
            answer = await client.post(USERS_PATH, {**body, "info": {"name": "bench"}})
            if answer.http_status != 200:
                raise RuntimeError(f"enrolment failed: {answer.error_text}")

        for first in range(0, len(features), _AT_A_TIME):
            await asyncio.gather(*(enrol(n) for n in range(first, min(first + _AT_A_TIME, len(features)))))
