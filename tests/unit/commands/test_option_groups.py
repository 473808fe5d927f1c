"""The help of a command with many options."""

from click.testing import CliRunner

from picturematch.commands.replay import command


def test_every_option_of_replay_is_listed_once_under_a_heading():
    text = CliRunner().invoke(command, ["--help"]).stdout.split("could be compared.")[1]
    headings = [line[:-1] for line in text.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert headings[:4] == ["What is replayed", "What if", "Report", "To a server"]
    for param in command.params:
        listed = [line for line in text.splitlines() if line.startswith(f"  {param.opts[0]} ")]
        assert len(listed) == (1 if param.opts[0].startswith("--") else 0)
    last = text.split("\nOptions:\n")[1]
    assert last.split("\n\n")[0].count("  -") == 2, "only the settings file and the help are under no heading"
