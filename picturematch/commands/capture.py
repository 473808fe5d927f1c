"""picturematch capture: a capture made by hand."""

from pathlib import Path

import click

from capture.folder import CaptureFolder
from capture.handmade import read_list
from contract.capture import CaptureError
from contract.text import printable
from picturematch.options import UserError, config_option
from picturematch.shell import counted, say


@click.command(
    epilog="""\b
Example:
  picturematch capture list.csv --pictures photos --out expected
  picturematch replay expected --url http://127.0.0.1:5555"""
)
@config_option
@click.argument("list_file", metavar="CSV", type=click.Path(dir_okay=False, exists=True, path_type=Path))
@click.option(
    "--pictures",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    show_default="the list's own",
    help="Folder that the list's paths are relative to.",
)
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="A new or empty folder.")
def command(list_file: Path, pictures: Path | None, out: Path) -> None:
    """Make a capture from a CSV list of pictures, to be posted by `picturematch replay`.

    The list has a first line `path,device_ip,compare_time,expected_identity_id`. The last two may be left out or
    empty; `-` as the identity expects a stranger. Every picture is checked before the first line is written.
    """
    try:
        if out.exists() and any(out.iterdir()):
            raise CaptureError(f"{out} is not empty; choose an empty folder")
        root = pictures or list_file.parent
        count = sum(1 for _ in read_list(list_file, root))
        with CaptureFolder(out) as folder:
            for request in read_list(list_file, root):
                folder.keep_picture(request.picture)
                folder.append([request.line])
    except CaptureError as error:
        raise UserError(printable(str(error))) from error
    except OSError as error:
        raise UserError(printable(f"{error.filename}: {error.strerror}")) from error
    say(f"{counted(count, 'request')} in {out}")
