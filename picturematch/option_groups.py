"""A command whose help lists its options under headings."""

from collections.abc import Mapping, Sequence

import click


class GroupedCommand(click.Command):
    """A command whose options are listed under headings. `groups`: heading -> names of parameters, in their order.

    Options that no heading names come last, under "Options".
    """

    def __init__(self, *arguments: object, groups: Mapping[str, Sequence[str]], **options: object) -> None:
        super().__init__(*arguments, **options)  # type: ignore[arg-type]  # click checks its own arguments
        self._groups = groups

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options to the help."""
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        found = {option.name: row for option in options if (row := option.get_help_record(ctx)) is not None}
        for heading, names in self._groups.items():
            with formatter.section(heading):
                formatter.write_dl([found.pop(name) for name in names])
        with formatter.section("Options"):
            formatter.write_dl(list(found.values()))
