"""The `signoff` command, put together from `commands.toml`. Each is imported once it is called: `--help` is quick."""

from __future__ import annotations

import atexit
import sys
import tomllib
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from signoff.desk.cli.terminal import INTERRUPTED, check_words, explain, leave_if_stopped, open_closed_streams
from signoff.installation import VERSION

_LISTED = tomllib.loads(Path(__file__).with_name("commands.toml").read_text(encoding="utf-8"))
COMMANDS: dict[str, tuple[str, str]] = _LISTED["commands"]
"""Of each command, where its function is, and the first sentence of its help."""


class WholeCommand(TyperCommand):
    """A command whose usage leaves out hidden arguments: a team that is named stands in the command's own name."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        seen = [parameter for parameter in self.get_params(ctx) if not getattr(parameter, "hidden", False)]
        return ["[OPTIONS]", *(piece for parameter in seen for piece in parameter.get_usage_pieces(ctx))]


class LazyCommand(TyperCommand):
    """What the list of commands says of one; its function is imported when it is called, or asked for its own help.

    A function whose help goes on after the first sentence has it in its docstring; others have none.
    """

    def __init__(self, name: str, place: str, first_sentence: str) -> None:
        super().__init__(name, help=first_sentence)
        self.place = place

    def load(self, words: Sequence[str] = ()) -> Any:
        """The whole command, as it is for these words: a team of somebody's own has options of its own."""
        module, _, name = self.place.rpartition(".")
        found = import_module(f"signoff.desk.{module}" if "." in module else f"signoff.desk.cli.{module}")
        function, of_team = getattr(found, name), getattr(found, f"{name}_of_team", None)
        if of_team is not None:
            function = of_team(words)
        only = typer.Typer(add_completion=False, rich_markup_mode=None)
        name = f"{self.name} {getattr(function, 'named', '')}".rstrip()
        only.command(name, cls=WholeCommand, help=None if function.__doc__ else self.help)(function)
        return typer.main.get_command(only)

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """The context of the whole command, by which it is run, helped or completed."""
        words = () if extra.get("resilient_parsing") else tuple(args)  # nothing is imported to complete a word
        whole = self.load(words)
        return whole.make_context(whole.name if info_name else info_name, args, parent=parent, **extra)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(VERSION)
        raise typer.Exit


def _exit(code: int | None, **_options: Any) -> None:
    raise typer.Exit(code or 0)


app = typer.Typer(
    name="signoff",
    no_args_is_help=True,
    rich_markup_mode=None,  # coloured help would import most of Rich: 0.3 s of CPU
    result_callback=_exit,
)


@app.callback(help="Supervised teams of agents: agents do the work, people sign off.")
def take_options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
) -> None:
    """Take the options that stand before the command; `main` looks for --debug itself."""
    del debug, version


def build() -> Any:
    """The command, with all that belong to it and none imported."""
    command: Any = typer.main.get_command(app)
    groups = {
        name: TyperGroup(name=name, help=says, no_args_is_help=True, rich_markup_mode=None)
        for name, says in _LISTED["groups"].items()
    }
    for words, (place, sentence) in COMMANDS.items():
        parent, _, name = words.rpartition(" ")
        groups.get(parent, command).add_command(LazyCommand(name, place, sentence))
    for group in groups.values():
        command.add_command(group)
    return command


def _is_interrupt(ended: BaseException | None) -> bool:
    """Whether this is Ctrl-C, or the exit that Typer makes of it, and nobody has told of it."""
    while ended is not None and not isinstance(ended, KeyboardInterrupt):
        ended = ended.__cause__ or (None if ended.__suppress_context__ else ended.__context__)
    return ended is not None


def main() -> None:
    """Run the command; an expected error is one line on standard error and exit code 1, Ctrl-C one and 130."""
    atexit.register(leave_if_stopped)
    open_closed_streams()
    check_words(sys.argv)
    try:
        build()()
    except (KeyboardInterrupt, SystemExit) as ended:
        if not _is_interrupt(ended):
            raise
        sys.stderr.write("\nStopped by you.\n")  # behind what the terminal shows of Ctrl-C
        raise SystemExit(INTERRUPTED) from None
    except Exception as error:
        line = explain(error)
        if line is None or "--debug" in sys.argv:
            raise
        sys.stderr.write(f"signoff: {line}\n")
        raise SystemExit(1) from None
