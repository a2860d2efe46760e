"""A team with tools that use secrets, and tools that try to show them: what it leaves behind is searched for them.

It is started with the address of a server that echoes whatever it is sent. Its model says what it is told to, and its
artifact is everything that it was shown.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import httpx2
from rich.console import Console

from signoff import Agent, Artifact, Policy, Task, Team, load_models
from signoff.agents.replay.cassette import Cassette
from signoff.agents.run_context import Payer, paying
from signoff.agents.tracing import set_up
from signoff.checkpoints.opening import configured_ledger
from signoff.errors import SandboxMissing
from signoff.fleet.run import Run
from signoff.settings import load_settings
from signoff.tools.action import Touches
from signoff.tools.broker.broker import Broker, open_broker
from signoff.tools.sandbox.backends import open_backend
from signoff.tools.sandbox.sandbox import Job
from signoff.tools.storage.workspaces import Workspaces
from signoff.tools.tool import tool


class Notes(Artifact):
    text: str


def tools_of(broker: Broker, url: str, home: Path) -> tuple[Any, ...]:
    workspaces = Workspaces(home)

    @tool(risk="read", touches=Touches(secrets=("tracker", "kept", "written", "printed")))
    def ask_servers(path: str) -> str:
        """Ask the server with every secret there is."""
        told = []
        for name in ("tracker", "kept", "written", "printed"):
            with broker.client(name) as client:
                try:
                    answer = client.get(f"{url}/{path}")
                    told.append(f"{answer.status_code} {dict(answer.headers)} {answer.text}")
                except httpx2.HTTPError as error:
                    told.append(f"{type(error).__name__}: {error}")
        return "\n".join(told)

    @tool(risk="read")
    def look_around() -> str:
        """Show what this process knows of itself."""
        start = Path("/proc/self/environ")
        lines = start.read_text().split("\0") if start.exists() else []
        at_start = "\n".join(line for line in lines if not line.startswith("SIGNOFF_WEBHOOKS"))
        # Addresses of hooks are known by no name and no look.
        variables = {name: value for name, value in os.environ.items() if name != "SIGNOFF_WEBHOOKS"}
        return f"{variables}\n{at_start}\n{Path('.env').read_text()}\n{broker.listing!r}\n{vars(broker)!r}"

    @tool(risk="sandboxed")
    def run_inside() -> str:
        """Show what a sandboxed program can find."""
        try:
            backend = open_backend()
        except SandboxMissing as missing:
            return str(missing)
        asking = "import sys, urllib.request as web; print(web.urlopen(sys.argv[1]).read().decode())"
        plain = url.replace("https:", "http:")
        code = f"env; cat /proc/*/environ /proc/*/cmdline | tr '\\0' '\\n'; python3 -c '{asking}' {plain}/inside"
        job = Job(command=("sh", "-c", code), workspace=workspaces.current(), door=broker.door)
        done = backend.run(job)
        return f"{done.stdout}\n{done.stderr}\n{done.note}"

    return ask_servers, look_around, run_inside


def team_of(broker: Broker, url: str, home: Path) -> Team:
    @tool(risk="external", touches=Touches(secrets=("tracker",)))
    def comment(text: str) -> dict[str, Any]:
        """Say something to the server."""
        with broker.client("tracker") as client:
            answer = client.post(f"{url}/comments", json={"text": text})
            return {"status": answer.status_code, "headers": dict(answer.headers), "answer": answer.text}

    def propose(notes: Notes, task: Task) -> list[Any]:
        return [comment.propose(comment.arguments(text=notes.text[:5_000]), "as asked")]

    scout = Agent(
        role="scout",
        gives=Notes,
        model=load_models(load_settings()),
        tools=tools_of(broker, url, home),
        actions=(comment,),
        propose=propose,
    )
    return Team(agents=[scout], policy=Policy({"comment": "allow"}), ledger=configured_ledger(load_settings()))


def main(url: str) -> None:
    settings = load_settings()
    broker = open_broker(settings)
    assert broker is not None
    set_up(settings)
    team = team_of(broker, url, settings.home)
    assert team.ledger is not None
    cassette = Cassette.open("run.jsonl", "record", about={"team": "canaries"})
    with paying(Payer(ledger=team.ledger, cassette=cassette)):
        run = Run.start(team, "find the secrets", settings=settings)
        Console(stderr=True).print(run, run.approvals)
        run.approve(by="ann", reason="to see what comes of it")
    Console(stderr=True).print(run)
    Path("run.html").write_text(run._repr_html_() or "")
    told = {"status": run.status, "notes": run.artifacts["Notes"].text, "values": repr(run.values)}
    sys.stdout.write(f"{json.dumps(told)}\n{settings!r}\n{team!r}\n")


if __name__ == "__main__":
    main(sys.argv[1])
