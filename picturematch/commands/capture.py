"""picturematch capture: make a capture from a list of pictures."""

from pathlib import Path

import click

from capture.folder import CaptureFolder
from capture.handmade import read_list
from contract.captures.values import CaptureError
from contract.text import printable
from picturematch.options import UserError, config_option
from picturematch.shell import counted, print_line


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
    show_default="the folder of the list",
    help="Folder to which the paths of the list are relative.",
)
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="A new or empty folder.")
def command(list_file: Path, pictures: Path | None, out: Path) -> None:
    """Make a capture from a CSV list of pictures, to be posted by `picturematch replay`.

    The first line of the list is `path,device_ip,compare_time,expected_identity_id`. The last two columns may be absent
    or empty; the identity `-` means that a stranger is expected. Every picture is checked before anything is written.
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
    print_line(f"{counted(count, 'request')} in {out}")
