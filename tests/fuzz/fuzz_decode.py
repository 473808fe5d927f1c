"""Coverage-guided fuzzing of everything that untrusted picture bytes meet: base64, header checks, decoders.

    pip install -e .[test,fuzz]
    python -m tests.fuzz.fuzz_decode -max_total_time=3600

Findings (the input, and what was printed) are saved in the folder given with --findings=FOLDER, else in `findings`
below the temporary folder, and told by their sha256. The working corpus is kept in the folder given as a plain
argument, else in a temporary one. All other arguments are libFuzzer's; a saved input is run again by naming its file.

Three things are findings: an answer outside the contract (tests/fuzz/contract.py), a crash or hang of a native
library, and a word of one on the process's standard output or error, which belong to the operator.
"""

import hashlib
import os
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

import atheris

with atheris.instrument_imports(include=["engine.vision", "ingest.pictures"]):
    from tests.fuzz.contract import answer_to, text_is_answered

from tests.fuzz.hostile import hostile_pictures
from tests.fuzz.mutator import mutated
from tests.fuzz.wholes import whole_pictures

MAX_PIXELS = 1_000_000
MAX_INPUT_BYTES = 16_384
MAX_TEXT_BYTES = 2_048
_DEFAULTS = {"-max_len": MAX_INPUT_BYTES, "-timeout": 20, "-rss_limit_mb": 2048, "-print_final_stats": 1}


class Printed(Exception):
    """A native library wrote to the process's standard output or error."""


class Ears:
    """Sends both standard streams to a file while a picture is looked at, and raises `Printed` if anything came."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w+b", buffering=0)
        self._kept = (os.dup(1), os.dup(2))

    def __enter__(self) -> None:
        for stream in (1, 2):
            os.dup2(self._file.fileno(), stream)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        for stream, kept in enumerate(self._kept, start=1):
            os.dup2(kept, stream)
        if os.fstat(self._file.fileno()).st_size:
            self._file.seek(0)
            words = self._file.read()
            os.truncate(self._file.fileno(), 0)
            self._file.seek(0)
            if error is None:
                raise Printed(words.decode("utf-8", "replace"))


class Target:
    """One input, held to the contract."""

    def __init__(self, findings: Path) -> None:
        self._findings = findings
        self._ears = Ears(findings / "printed.txt")

    def __call__(self, data: bytes) -> None:
        try:
            with self._ears:
                answer_to(data, MAX_PIXELS)
                if len(data) <= MAX_TEXT_BYTES:
                    text_is_answered(data.decode("latin-1"), MAX_TEXT_BYTES)
        except BaseException:
            name = hashlib.sha256(data).hexdigest()
            (self._findings / name).write_bytes(data)
            print(f"FINDING: {len(data)} bytes, sha256 {name}, saved in {self._findings}", flush=True)  # noqa: T201 - for who runs it
            raise


def seed(folder: Path) -> None:
    """Put the known pictures, whole and hostile, into the corpus."""
    folder.mkdir(parents=True, exist_ok=True)
    for data in (*whole_pictures().values(), *(hostile.data for hostile in hostile_pictures().values())):
        if len(data) <= MAX_INPUT_BYTES:
            (folder / hashlib.sha256(data).hexdigest()).write_bytes(data)


def main() -> None:
    """Fuzz until libFuzzer's limits, or a finding, end it."""
    given = [argument for argument in sys.argv[1:] if not argument.startswith("--findings=")]
    places = [argument.removeprefix("--findings=") for argument in sys.argv[1:] if argument not in given]
    findings = Path(places[-1] if places else Path(tempfile.gettempdir()) / "findings")
    findings.mkdir(parents=True, exist_ok=True)
    if not any(not argument.startswith("-") for argument in given):
        given.append(tempfile.mkdtemp(prefix="corpus-"))
    for folder in given:
        if not folder.startswith("-") and not Path(folder).is_file():
            seed(Path(folder))
            break
    options = [f"{name}={value}" for name, value in _DEFAULTS.items() if not any(a.startswith(name) for a in given)]
    options.append(f"-artifact_prefix={findings}/")

    def neighbour(data: bytes, max_size: int, chance: int) -> bytes:
        mutate: Any = atheris.Mutate
        return mutated(data, max_size, chance, mutate)

    atheris.Setup([sys.argv[0], *options, *given], Target(findings), custom_mutator=neighbour)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
