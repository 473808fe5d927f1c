"""picturematch audit: print who asked for which change, and which API keys were refused."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from broker.port import Record
from contract.kinds import ADMIN_KINDS, LOG_KINDS, UNREADABLE_KIND
from contract.text import printable
from picturematch.options import config_option, log_options, settings_of
from picturematch.printing import print_records
from picturematch.shell import When

REFUSED_KEYS = "refused_keys"
_SHOWN_OBJECTS = 5


@dataclass(frozen=True, slots=True)
class AuditChoice:
    """Which audit records are printed: those before `until_s` (epoch seconds), of an actor or peer, of some kinds.

    None, and no kinds, mean all.
    """

    until_s: float | None = None
    actor: str | None = None
    kinds: frozenset[str] = frozenset()

    def wants(self, event: Mapping[str, object]) -> bool:
        """Return whether the record is chosen."""
        time = event.get("time")
        if self.until_s is not None and isinstance(time, int | float) and time >= self.until_s:
            return False
        if self.kinds and event.get("kind", event.get("type")) not in self.kinds:
            return False
        return self.actor is None or self.actor in (event.get("actor"), event.get("peer"), event.get("retried_by"))


@click.command(
    epilog="""\b
Examples:
  picturematch audit --since 1d
  picturematch audit --actor office --kind delete
  picturematch audit --kind refused_keys --json | jq .peer"""
)
@config_option
@log_options
@click.option("--follow", "-f", is_flag=True, help="Continue with new records until stopped.")
@click.option(
    "--since", type=When(), help="Only records from this time on: epoch seconds, ISO 8601, or 10m, 2h, 1d ago."
)
@click.option("--until", type=When(), help="Only records before this time.")
@click.option(
    "--actor",
    help='Only records of this caller: the name of an API key, an address, "trusted network" or "operator of the log".',
)
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice([*ADMIN_KINDS, *LOG_KINDS, UNREADABLE_KIND, REFUSED_KEYS]),
    help="Only records of this kind; may be given several times.",
    show_default="all",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@click.pass_context
def command(
    ctx: click.Context,
    broker: str | None,
    data_folder: Path | None,
    follow: bool,
    since: float | None,
    until: float | None,
    actor: str | None,
    kinds: tuple[str, ...],
    as_json: bool,
) -> None:
    """Print who asked for which change of people or of the site, and from where, oldest first.

    Refused API keys are counted per address and minute. The server may run meanwhile.

    Exit status: 0 all were printed, 1 records were skipped because they cannot be read (standard error names them), 2
    the command failed.
    """
    if follow and until is not None:
        raise click.UsageError("--until and --follow exclude each other")
    settings = settings_of(ctx, broker=broker, data_folder=data_folder)
    choice = AuditChoice(until, actor, frozenset(kinds))
    print_records(
        ctx,
        settings,
        settings.topics.audit,
        "audit record",
        since_s=since,
        follow=follow,
        choice=choice,
        line=None if as_json else _line,
    )


def _line(_record: Record, event: Mapping[str, Any]) -> bytes:
    what = _refused_keys(event) if event.get("type") == REFUSED_KEYS else _change(event)
    return f"{printable(_moment(event.get('time')))}  {printable(what)}\n".encode()


def _refused_keys(event: Mapping[str, Any]) -> str:
    counts = event.get("counts")
    counts = counts if isinstance(counts, dict) else {}
    return f"{event.get('peer')}  API keys refused: {', '.join(f'{number} {why}' for why, number in counts.items())}"


def _change(event: Mapping[str, Any]) -> str:
    caller = ", ".join(str(event[name]) for name in ("role", "peer") if event.get(name))
    parts = [f"{event.get('actor')} ({caller}) ", str(event.get("kind"))]
    if event.get("action") not in (None, event.get("kind")):
        parts.append(str(event["action"]))
    named = event.get("objects")
    named = named if isinstance(named, list) else []
    parts += map(str, named[:_SHOWN_OBJECTS])
    more = int(event.get("objects_total") or 0) - len(named[:_SHOWN_OBJECTS])
    if more > 0:
        parts.append(f"and {more} more")
    details = event.get("details")
    if isinstance(details, dict) and details:
        parts.append(f"[{' '.join(_detail(name, value) for name, value in details.items())}]")
    error = event.get("error")
    if event.get("retried_by"):
        parts.append(f"(sent again by {event['retried_by']}, first as {event.get('retry_of')})")
    reason = f" ({error.get('code')} {error.get('status')})" if isinstance(error, dict) else ""
    return f"{' '.join(parts)}: {event.get('outcome')}{reason}  request {event.get('request_id')}"


def _detail(name: str, value: object) -> str:
    if isinstance(value, list):
        more = len(value) - _SHOWN_OBJECTS
        shown = ",".join(map(str, value[:_SHOWN_OBJECTS])) + (f" and {more} more" if more > 0 else "")
        return f"{name}={shown}"
    return name if value is True else f"{name}={str(value).lower() if value is False else value}"


def _moment(time: object) -> str:
    try:
        return datetime.fromtimestamp(float(time), UTC).strftime("%Y-%m-%d %H:%M:%S")  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError, OSError):
        return "(no time)"
