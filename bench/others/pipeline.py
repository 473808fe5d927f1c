"""A pipeline as a child process on one core, asked for one picture at a time."""

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
import psutil

from contract.vectors import Vector
from engine.evaluation.photos import FaceChoice

_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "UV_THREADPOOL_SIZE"), "1")


class PipelineFailed(Exception):
    """The child process cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Command:
    """How a pipeline is started. `folder`: where; `environment`: what it needs besides ours."""

    arguments: Sequence[str]
    folder: Path
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What came of one picture: its vector (None: no face was found), and the milliseconds from bytes to vector."""

    vector: Vector | None
    wall_ms: float
    cpu_ms: float


class Pipeline:
    """A started pipeline. Use as a context manager, so that it is ended."""

    def __init__(self, command: Command) -> None:
        """Start it, and wait until it is ready.

        Raises:
            PipelineFailed: it cannot be started, or ended while it was starting.
        """
        self._title = " ".join(command.arguments)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the child; `_end` closes it
        try:
            self._process = subprocess.Popen(  # noqa: S603 - the commands are ours, the interpreters the user's choice
                command.arguments,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                cwd=command.folder,
                env={**os.environ, **_ONE_THREAD, **command.environment},
                text=True,
            )
        except OSError as error:
            self._errors.close()
            raise PipelineFailed(f"{command.arguments[0]} cannot be started: {error.strerror}") from error
        try:
            _to_one_core(self._process.pid)
            ready = self._line()
        except PipelineFailed:
            self._end()
            raise
        self.name = str(ready["ready"])
        self.score: Literal["cosine", "distance"] = ready["score"]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def embed(self, picture: Path, face: FaceChoice) -> Answer:
        """The answer for one picture.

        Raises:
            PipelineFailed: the pipeline ended.
        """
        if self._process.stdin is not None:
            try:
                self._process.stdin.write(json.dumps({"path": str(picture.absolute()), "face": face}) + "\n")
                self._process.stdin.flush()
            except BrokenPipeError:
                raise PipelineFailed(f"the pipeline {self._title} ended: {self._reason()}") from None
        told = self._line()
        vector = None if told["embedding"] is None else np.asarray(told["embedding"], np.float32)
        return Answer(vector, float(told["wall_ms"]), float(told["cpu_ms"]))

    def similarity(self, one: Vector, other: Vector) -> float:
        """How alike two vectors are, the way this pipeline compares them; higher is more alike."""
        if self.score == "cosine":
            return float(one @ other)
        return -float(np.linalg.norm(one - other))

    def _line(self) -> dict[str, Any]:
        line = self._process.stdout.readline() if self._process.stdout is not None else ""
        if not line:
            raise PipelineFailed(f"the pipeline {self._title} ended: {self._reason()}")
        told: dict[str, Any] = json.loads(line)
        return told

    def _reason(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it gave no reason"

    def _end(self) -> None:
        # Each ends with its input.
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()


def _to_one_core(pid: int) -> None:
    process = psutil.Process(pid)
    # Not every system lets a process be tied to a core; there the thread limits must do.
    if hasattr(process, "cpu_affinity"):
        process.cpu_affinity([max(process.cpu_affinity())])
