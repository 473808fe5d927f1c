"""picturematch record: record match requests into a capture."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import click
from msgspec import structs

from capture.archive import pack
from capture.folder import CaptureFolder
from capture.recording.recorder import LogToRecord, record
from capture.recording.redaction import Redaction
from capture.recording.redaction_key import redaction_key
from capture.recording.values import Tally, Wanted
from contract.captures.convert import REQUESTS_FILE
from contract.captures.values import CaptureError, PhotoChoice
from contract.kinds import MATCH_OUTCOMES
from picturematch.opening import damaged_records, open_broker
from picturematch.options import config_option, log_options, settings_of
from picturematch.settings import Settings
from picturematch.shell import DeviceAddress, Span, When, counted, print_line, run, stop_signal

_ARCHIVE = ".tar.zst"
_KEY_FILE = "redaction.key"
_FOLLOWERS_PROBE_MS = 3000


@dataclass(frozen=True, slots=True)
class _Way:
    """How requests are recorded: `follow`, `wait_s` and `redaction` as of capture.recording.recorder.record."""

    follow: bool
    wait_s: float
    redaction: Redaction | None


@click.command(
    epilog="""\b
Examples:
  picturematch record --out monday --since 2025-01-06 --until 2025-01-07
  picturematch record --out spoofs.tar.zst --outcome spoof --redact
  picturematch record --out gate --follow --device 192.168.1.22"""
)
@config_option
@log_options
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The capture: FOLDER, or FILE.tar.zst.")
@click.option(
    "--since", type=When(), help="Only requests from this time on: epoch seconds, ISO 8601, or 10m, 2h, 1d ago."
)
@click.option("--until", type=When(), help="Only requests up to this time.")
@click.option("--device", type=DeviceAddress(), help="Only requests of this device_ip.")
@click.option(
    "--outcome",
    "outcomes",
    multiple=True,
    type=click.Choice(MATCH_OUTCOMES),
    show_default="all",
    help="Only requests with this outcome; may be given several times.",
)
@click.option("--limit", type=click.IntRange(min=1), help="End after this number of recorded requests.")
@click.option("--follow", "-f", is_flag=True, help="Continue with new requests, until stopped or until --until.")
@click.option(
    "--photos",
    type=click.Choice(get_args(PhotoChoice)),
    show_default="candidates, or none with --redact",
    help="Whose enrolment photos are recorded: those of the best candidate and the recognised person, or everybody's.",
)
@click.option(
    "--without-pictures", is_flag=True, help="Record no picture of a request: nothing can be looked at again."
)
@click.option("--redact", is_flag=True, help="Replace ids and names by pseudonyms.")
@click.option(
    "--redact-key",
    type=click.Path(dir_okay=False, path_type=Path),
    show_default=f"{_KEY_FILE} in the data folder",
    help="File of the key of the pseudonyms, which is made where it does not exist. Keep it away from the capture.",
)
@click.option(
    "--wait",
    type=Span(),
    default="10s",
    show_default=True,
    help="Age at which a request is recorded without a decision.",
)
@click.pass_context
def command(
    ctx: click.Context,
    broker: str | None,
    data_folder: Path | None,
    out: Path,
    since: float | None,
    until: float | None,
    device: str | None,
    outcomes: tuple[str, ...],
    limit: int | None,
    follow: bool,
    photos: PhotoChoice | None,
    without_pictures: bool,
    redact: bool,
    redact_key: Path | None,
    wait: float,
) -> None:
    """Record match requests, so that they can be decided again: the fields and pictures that devices sent, the
    decisions with their evidence, and the people, groups, permissions, devices and policies of then.

    Enrolments, comparisons, FIQA and requests that replayed others are not recorded.

    A later run with the same folder continues behind the last recorded request; filters that are not given are those
    of the first run. A capture contains faces, and only you can read it. A request that stays undecided for longer than
    --wait is recorded without a decision.

    --redact replaces the ids and names of people, groups, permissions and devices, and the info of people, by
    pseudonyms, and host names of devices too. IP addresses of devices of the type photo stay. Pictures and embeddings
    stay too, and remain biometric.

    Exit status: 0 all were recorded, 1 damaged records were skipped (standard error names them), 2 the command failed.
    """
    settings = settings_of(ctx, broker=broker, data_folder=data_folder)
    wanted = Wanted(since, until, device, frozenset(outcomes), limit, photos, False if without_pictures else None)
    if redact_key is not None and not redact:
        raise click.UsageError("--redact-key is the key of the pseudonyms of --redact: give both")

    async def work() -> tuple[Tally, int]:
        redaction = None
        if redact:
            redaction = Redaction(redaction_key(redact_key or settings.data_folder / _KEY_FILE, out))
        with _folder(out) as folder:
            return await _record(settings, folder, wanted, _Way(follow, wait, redaction))

    tally, damaged = run(work())
    _print(tally, out)
    if damaged:
        click.echo(f"{counted(damaged, 'damaged record')} skipped: see above", err=True)
        ctx.exit(1)


@contextmanager
def _folder(out: Path) -> Iterator[Path]:
    """Yield the folder to record into; where `out` is an archive, that folder is packed and removed at the end."""
    if not out.name.endswith(_ARCHIVE):
        yield out
        return
    if out.exists():
        raise CaptureError(f"{out} exists already, and an archive cannot be continued; name another file")
    beside = out.with_name(out.name.removesuffix(_ARCHIVE) + ".recording")
    yield beside
    pack(beside, out)
    shutil.rmtree(beside)


async def _record(settings: Settings, out: Path, wanted: Wanted, way: _Way) -> tuple[Tally, int]:
    """Record the requests; return the counts, and the number of damaged records that were skipped."""
    stop = stop_signal()
    if way.follow:
        # Probing Kafka as often as a server does would cost about as much as recording; an outage is waited for anyway.
        probe_ms = max(settings.kafka.probe_ms, _FOLLOWERS_PROBE_MS)
        settings = structs.replace(settings, kafka=structs.replace(settings.kafka, probe_ms=probe_ms))
    async with open_broker(settings, "guest") as broker:
        log = LogToRecord(broker, settings.topics, time.time, settings.log.history_ms)
        with CaptureFolder(out) as folder:
            tally = await record(
                log, folder, stop, wanted=wanted, redaction=way.redaction, follow=way.follow, wait_s=way.wait_s
            )
            return tally, damaged_records(broker)


def _print(tally: Tally, out: Path) -> None:
    undecided = f", {tally.undecided} of them without a decision" if tally.undecided else ""
    print_line(f"{counted(tally.recorded, 'request')} recorded in {out}{undecided}")
    if tally.without_evidence:
        print_line(
            f"{counted(tally.without_evidence, 'decision')} about a face without evidence: a replay must look at the"
            " pictures again"
        )
    if tally.too_old:
        older = "is older: it" if tally.too_old == 1 else "are older: they"
        print_line(
            f"the people of then can be folded from gallery version {tally.people_from} on, and"
            f" {counted(tally.too_old, 'recorded decision')} {older} cannot be decided again"
        )
    if tally.missing_photos:
        print_line(f"{counted(tally.missing_photos, 'photo')} of people gone from the log")
    for number in tally.lost_pictures:
        print_line(
            f"line {number} of {REQUESTS_FILE}: a crash of the machine has damaged its picture, and the log does not"
            " have it any more"
        )
    if tally.replays:
        print_line(f"{counted(tally.replays, 'request')} left out, because they replayed others")
