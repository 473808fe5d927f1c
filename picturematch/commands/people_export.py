"""picturematch people export: write everybody who is enrolled to one file."""

from pathlib import Path

import click

from contract.text import printable
from picturematch.options import UserError, config_option, log_options, settings_of
from picturematch.shell import counted, echo_json, ended_by_signals, run
from picturematch.site_commands import people_counted


@click.command(
    epilog="""\b
Examples:
  picturematch people export people.jsonl
  picturematch people export people.jsonl --photos --broker kafka://kafka:9092"""
)
@config_option
@click.argument("path", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--photos", is_flag=True, help="Write the photos too; without them the faces come back without photos.")
@log_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_context
def export(
    ctx: click.Context, path: Path, photos: bool, broker: str | None, data_folder: Path | None, as_json: bool
) -> None:
    """Write everybody to FILE, with groups, permissions, infos and the embeddings of all embedders.

    FILE is new, only you may read it, and it has its name only when it is whole. It contains faces: keep it as you keep
    the log. `picturematch people import FILE` brings the same people into another installation, bit for bit. The log is
    read beside its server. Devices, settings and API keys are not exported; `picturematch log backup` copies the log.

    Exit status: 0 all was written, 1 photos are not in the log any more, 2 the command failed.
    """
    from picturematch.opening import open_broker  # so that --help does not import the adapters
    from picturematch.people_export import Exported, export_people

    if path.exists():
        raise UserError(f"{path} exists already: name another file")
    if not path.parent.is_dir():
        raise UserError(f"{path.parent} is no folder: create it first, or name a file in another folder")
    settings = settings_of(ctx, broker=broker, data_folder=data_folder)

    async def work() -> Exported:
        async with open_broker(settings, "guest") as log:
            return await export_people(log, settings.topics, path, photos=photos)

    with ended_by_signals():
        done = run(work())
    head = done.head
    if as_json:
        counts = {"people": head.people, "faces": head.faces, "groups": head.groups, "permissions": head.permissions}
        echo_json({"file": str(path), **counts, "embedders": head.embedders, "photos_missing": done.photos_missing})
    else:
        click.echo(printable(f"wrote {people_counted(head.people)} with {counted(head.faces, 'face')} to {path}"))
        if done.photos_missing:
            click.echo(f"{counted(done.photos_missing, 'photo')} not in the log any more", err=True)
    ctx.exit(1 if done.photos_missing else 0)
