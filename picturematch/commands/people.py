"""picturematch people: the people who are enrolled, and the records that describe them."""

import click

from picturematch.commands import (
    people_delete,
    people_erase,
    people_export,
    people_import,
    people_lookalikes,
    people_records,
    people_reembed,
    people_site,
)
from picturematch.options import config_option


@click.group(epilog="Example: picturematch people list")
@config_option
def command() -> None:
    """List, add, change, import, export, delete and erase people; find records of them that cannot be read.

    list, show, add, change and delete are calls of a running server. erase calls it too, and then erases what the log
    contains about the person. import enrols very many people, and export writes everybody to a file. lookalikes lists
    people whose faces are too similar. reembed computes the embeddings of everybody anew, for another embedder. check
    and repair are about records of the people topic that cannot be read. Such a record hides a part of a person's data;
    every process that reads it keeps running but is not ready, and refuses calls that need the people, until a later
    record of the same key replaces it.
    """


for _subcommand in (
    *(people_site.list_, people_site.show_, people_site.add, people_site.change),
    *(people_delete.delete, people_erase.erase),
    *(people_import.import_, people_export.export),
    people_lookalikes.lookalikes,
    *(people_records.check, people_records.repair),
    people_reembed.reembed,
):
    command.add_command(_subcommand)
