"""A server of teams in the test's own loop, and clients that nobody here wrote, by which people work with it."""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
import uuid
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar

import httpx
import uvicorn

from signoff import Ledger
from signoff.checkpoints.ledger import Person
from signoff.desk.protocols.asgi import Protocols
from signoff.desk.service import Service
from signoff.desk.web.application import page_at
from signoff.desk.web.context import PageContext
from signoff.desk.web.identity import Identity

OFFICE_TEAMS = ("office.py:team", "office.py:two", "office.py:soon", "office.py:asks")
"""Those that are served, as people name them."""


@dataclass
class Place:
    """Where teams are served, and the tokens of people."""

    address: str
    service: Service
    tokens: dict[str, str]

    def headers(self, who: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens[who]}"}


def tokens_of(ledger: Ledger, **people: tuple[str, ...]) -> dict[str, str]:
    """A token for each of these people, who have these roles."""
    for name, roles in people.items():
        for role in roles:
            ledger.people.give(name, role, by="root")
    return {name: ledger.people.give_key(Person(name), "token", days=1, by="root") for name in people}


@asynccontextmanager
async def serving(service: Service, tokens: dict[str, str]) -> AsyncIterator[Place]:
    """Serve its teams to programs, and the page to people, on a free port until the block is left."""
    with socket.create_server(("127.0.0.1", 0)) as endpoint:
        host = f"127.0.0.1:{endpoint.getsockname()[1]}"
        address = f"http://{host}"
        identity = Identity(service.ledger)
        spoken = Protocols(service, identity, [host], address)
        context = PageContext(service.settings, service.ledger, identity, teams_offered=OFFICE_TEAMS, served=service)
        app = spoken.beside(page_at([address], context))
        config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve(sockets=[endpoint]))
        while not server.started:
            await asyncio.sleep(0)
            assert not task.done(), task
        try:
            yield Place(address, service, tokens)
        finally:
            server.should_exit = True
            await task


@dataclass
class Seen:
    """A run as a client knows it."""

    run: str
    status: str
    heard: list[str] = field(default_factory=list)
    """The agents of which it was told that it is their turn."""
    action: str = ""
    approval: str = ""
    sha256: str = ""
    thread: str = ""
    refused: str = ""
    """The code of why something is refused."""


@dataclass
class Door:
    """One protocol, in the hands of one client."""

    place: Place
    decides: ClassVar[bool] = True
    """Whether people answer through it."""

    def url(self, team: str, path: str) -> str:
        return f"{self.place.address}/teams/{team}/{path}"

    async def start(self, team: str, goal: str, who: str = "ann") -> Seen:
        raise NotImplementedError

    async def answer(self, team: str, seen: Seen, answer: Any, who: str = "ann") -> str:
        """The code of why it is refused, empty if it counts."""
        raise NotImplementedError

    async def follow(self, team: str, seen: Seen, who: str = "ann") -> Seen:
        """The run, as whoever comes back to it hears of it until it stands."""
        raise NotImplementedError

    async def cancel(self, team: str, seen: Seen, who: str = "ann") -> str:
        raise NotImplementedError


class Node:
    """A protocol in the hands of a client in JavaScript, which runs in a process of its own."""

    script: ClassVar[str]
    """Its name among the clients."""
    process: asyncio.subprocess.Process

    async def ask(self, request: dict[str, Any]) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        await self.process.stdin.drain()
        return json.loads(await self.process.stdout.readline())


class Plain(Door):
    """Plain HTTP, by httpx."""

    async def _ask(self, method: str, team: str, path: str, who: str, body: Any = None) -> Any:
        async with httpx.AsyncClient(headers=self.place.headers(who), timeout=60) as client:
            return (await client.request(method, self.url(team, path), json=body)).json()

    async def start(self, team: str, goal: str, who: str = "ann") -> Seen:
        begun = await self._ask("POST", team, "runs", who, {"goal": goal})
        return await self.follow(team, Seen(begun["run"], begun["status"]), who)

    async def follow(self, team: str, seen: Seen, who: str = "ann", after: str = "") -> Seen:
        headers = {**self.place.headers(who), "Last-Event-ID": after}
        heard, kind = list[str](), ""
        async with (
            httpx.AsyncClient(headers=headers, timeout=60) as client,
            client.stream("GET", self.url(team, f"runs/{seen.run}/events")) as stream,
        ):
            if stream.status_code != 200:
                return Seen(seen.run, "", refused=json.loads(await stream.aread())["code"])
            async for line in stream.aiter_lines():
                kind = line.removeprefix("event: ") if line.startswith("event: ") else kind
                if line.startswith("data: "):
                    told = json.loads(line.removeprefix("data: "))
                    heard += [told["agent"]] if kind == "turn" else []
                    if kind == "stands":
                        asked = (told["questions"] or [{}])[0]
                        known = [asked.get(name, "") for name in ("action", "approval", "args_sha256")]
                        return Seen(seen.run, told["status"], heard, *known)
        raise AssertionError("the stream ended before the run stood")

    async def answer(self, team: str, seen: Seen, answer: Any, who: str = "ann") -> str:
        body = {**answer, "args_sha256": seen.sha256} if isinstance(answer, dict) else answer
        told = await self._ask("POST", team, f"runs/{seen.run}/answers/{seen.approval}", who, body)
        return str(told.get("code", ""))

    async def cancel(self, team: str, seen: Seen, who: str = "ann") -> str:
        told = await self._ask("POST", team, f"runs/{seen.run}/cancel", who, {})
        return str(told.get("code") or told["status"])


class AgUi(Door):
    """AG-UI, read by the protocol's own models."""

    async def _run(self, team: str, who: str, thread: str, **said: Any) -> list[dict[str, Any]]:
        from ag_ui.core import Event
        from pydantic import TypeAdapter

        say, resume = said.get("say"), said.get("resume")
        body = {
            "threadId": thread,
            "runId": str(uuid.uuid4()),
            "messages": [{"id": say["id"], "role": "user", "content": say["text"]}] if say else [],
            "tools": [],
            "context": [],
            "state": {},
            "forwardedProps": said.get("props") or {},
            **({"resume": resume} if resume is not None else {}),
        }
        async with httpx.AsyncClient(headers=self.place.headers(who), timeout=60) as client:
            text = (await client.post(self.url(team, "ag-ui"), json=body)).text
        lines = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
        for line in lines:
            TypeAdapter(Event).validate_json(line)
        return [json.loads(line) for line in lines]

    def _seen(self, thread: str, events: list[dict[str, Any]]) -> Seen:
        last = events[-1]
        heard = [event["stepName"] for event in events if event["type"] == "STEP_STARTED"]
        if last["type"] == "RUN_ERROR":
            return Seen("", "", heard, thread=thread, refused=last["code"])
        assert last["type"] == "RUN_FINISHED", last
        outcome = last["outcome"]
        if outcome["type"] == "interrupt":
            asked = outcome["interrupts"][0]["metadata"]
            known = [asked[name] for name in ("action", "approval", "args_sha256")]
            return Seen(asked["run_id"], "waiting", heard, known[0], known[1], known[2], thread)
        return Seen(last["result"]["run"], last["result"]["status"], heard, thread=thread)

    async def start(self, team: str, goal: str, who: str = "ann") -> Seen:
        thread = str(uuid.uuid4())
        return self._seen(thread, await self._run(team, who, thread, say={"id": f"m-{thread}", "text": goal}))

    async def follow(self, team: str, seen: Seen, who: str = "ann") -> Seen:
        return self._seen(seen.thread, await self._run(team, who, seen.thread))

    async def answer(self, team: str, seen: Seen, answer: Any, who: str = "ann") -> str:
        if isinstance(answer, dict) and answer.get("type") == "approve":
            answer = {"approved": True}
        named = f"{seen.approval}.{seen.sha256[:16]}"
        resume = [{"interruptId": named, "status": "resolved", "payload": answer}]
        return self._seen(seen.thread, await self._run(team, who, seen.thread, resume=resume)).refused

    async def cancel(self, team: str, seen: Seen, who: str = "ann") -> str:
        found = self._seen(seen.thread, await self._run(team, who, seen.thread, props={"signoff": "cancel"}))
        return found.refused or found.status


class A2a(Door):
    """A2A, by the SDK's client."""

    decides = False

    @asynccontextmanager
    async def _client(self, team: str, who: str) -> AsyncIterator[Any]:
        from a2a.client import A2ACardResolver, ClientConfig, ClientFactory

        async with httpx.AsyncClient(headers=self.place.headers(who), timeout=60) as http:
            card = await A2ACardResolver(http, self.url(team, "a2a")).get_agent_card()
            yield ClientFactory(ClientConfig(httpx_client=http, streaming=True)).create(card)

    async def _send(self, team: str, text: str, who: str, task: str = "") -> Seen:
        from a2a.helpers import proto_helpers as make
        from a2a.types import a2a_pb2 as types

        message = make.new_text_message(text, role=types.ROLE_USER, task_id=task or None)
        async with self._client(team, who) as client:
            return await self._read(client.send_message(types.SendMessageRequest(message=message)))

    async def _read(self, parts: Any) -> Seen:
        from a2a.helpers import proto_helpers as make
        from a2a.types import a2a_pb2 as types
        from a2a.utils.errors import A2AError

        seen = Seen("", "")
        try:
            async with aclosing(parts):
                async for part in parts:
                    if part.HasField("task"):
                        seen.run, status = part.task.id, part.task.status
                    elif part.HasField("status_update"):
                        seen.run, status = part.status_update.task_id, part.status_update.status
                    else:
                        continue
                    said = make.get_message_text(status.message)
                    seen.heard += [said.partition(":")[0]] if ": " in said and status.state == 2 else []
                    if status.state == types.TASK_STATE_INPUT_REQUIRED:
                        asked = make.get_data_parts(status.message.parts)[0]["questions"][0]
                        assert asked["people_decide_at"].startswith("http://desk.test/approvals/")
                        seen.status, seen.action, seen.approval = "waiting", asked["action"], asked["approval"]
                        return seen
                    seen.status = {3: "done", 4: "failed", 5: "stopped", 7: "stopped"}.get(int(status.state), "")
        except A2AError as error:
            seen.refused = str((error.data or {}).get("code") or type(error).__name__)
        return seen

    async def start(self, team: str, goal: str, who: str = "ann") -> Seen:
        return await self._send(team, goal, who)

    async def answer(self, team: str, seen: Seen, answer: Any, who: str = "ann") -> str:
        words = "approve" if isinstance(answer, dict) else str(answer)
        return (await self._send(team, words, who, seen.run)).refused

    async def follow(self, team: str, seen: Seen, who: str = "ann") -> Seen:
        from a2a.types import a2a_pb2 as types
        from a2a.utils.errors import A2AError

        async with self._client(team, who) as client:
            found = await self._read(client.subscribe(types.SubscribeToTaskRequest(id=seen.run)))
            if found.refused == "ended":
                with suppress(A2AError):
                    task = await client.get_task(types.GetTaskRequest(id=seen.run))
                    states = {3: "done", 4: "failed", 5: "stopped", 7: "stopped"}
                    return Seen(seen.run, states[int(task.status.state)])
            return found

    async def cancel(self, team: str, seen: Seen, who: str = "ann") -> str:
        from a2a.types import a2a_pb2 as types
        from a2a.utils.errors import A2AError

        async with self._client(team, who) as client:
            try:
                task = await client.cancel_task(types.CancelTaskRequest(id=seen.run))
            except A2AError as error:
                return str((error.data or {}).get("code"))
            return "stopped" if task.status.state == types.TASK_STATE_CANCELED else str(task.status.state)


class Mcp(Door):
    """MCP, by the SDK's client."""

    decides = False

    async def _call(self, team: str, who: str, tool: str, **given: Any) -> dict[str, Any]:
        from mcp import ClientSession
        from mcp.client.streamable_http import streamable_http_client

        async with (
            httpx.AsyncClient(headers=self.place.headers(who), timeout=60) as http,
            streamable_http_client(self.url(team, "mcp"), http_client=http) as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            answer = await session.call_tool(tool, given)
            if answer.isError:
                text = answer.content[0].text  # type: ignore[union-attr]  # an error is told as text
                code = text.partition(f"tool {tool}: ")[2].partition(":")[0]
                return {"code": code or "no_such_tool"}
            return answer.structuredContent or {}

    def _seen(self, told: dict[str, Any]) -> Seen:
        if "code" in told:
            return Seen("", "", refused=told["code"])
        asked = (told["waits_for"] or [{}])[0]
        heard = [line.split()[1] for line in told["plan"]]
        return Seen(told["run"], told["status"], heard, asked.get("action", ""), asked.get("approval", ""))

    async def start(self, team: str, goal: str, who: str = "ann") -> Seen:
        return self._seen(await self._call(team, who, "start_run", goal=goal, wait_seconds=60))

    async def answer(self, team: str, seen: Seen, answer: Any, who: str = "ann") -> str:
        return str((await self._call(team, who, "approve", run=seen.run, answer=str(answer)))["code"])

    async def follow(self, team: str, seen: Seen, who: str = "ann") -> Seen:
        return self._seen(await self._call(team, who, "run_status", run=seen.run, wait_seconds=60))

    async def cancel(self, team: str, seen: Seen, who: str = "ann") -> str:
        told = await self._call(team, who, "cancel_run", run=seen.run)
        return str(told.get("code") or told["status"])


def unknown_token() -> str:
    return secrets.token_urlsafe(32)
