"""The tools that run commands and Python code in a sandbox, and the action that takes a file out of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from pathlib import Path
from typing import Any, Final, overload

from langchain_core.tools import StructuredTool
from pydantic import BaseModel, Field

from signoff.error_base import TeamError
from signoff.tools.action import Action, ToolLimits, Touches
from signoff.tools.errors import FileRefused
from signoff.tools.sandbox.backends import backend_of_settings
from signoff.tools.sandbox.monty import Monty
from signoff.tools.sandbox.sandbox import Backend, Finished, Job, SandboxLimits
from signoff.tools.sandbox.save_action import save_from_workspace
from signoff.tools.storage.blobs import Blobs
from signoff.tools.storage.confined_folder import ConfinedFolder, Entry
from signoff.tools.storage.workspaces import Workspaces
from signoff.tools.tool import Tool, tool

SHOWN: Final = 20_000
"""Characters of each stream that an agent is shown: the beginning and the end."""
_FILES_SHOWN: Final = 50
_SPARE_SECONDS: Final = 30.0
"""For making a sandbox and copying the workspace, beyond the seconds of the job."""


class ShellArguments(BaseModel):
    """What `run_shell` is given."""

    command: str = Field(description="Command line for sh, such as 'sort words.txt | uniq -c | head'")


class PythonArguments(BaseModel):
    """What `run_python` is given."""

    code: str = Field(description="Python program; print what you want to know")


@overload
def sandbox_tools(
    workspaces: Workspaces,
    *,
    backend: Backend | None = None,
    given: Mapping[str, Path] | None = None,
    env: Mapping[str, str] | None = None,
    limits: SandboxLimits | None = None,
    door: Path | None = None,
    folder: Path | None = None,
) -> tuple[Tool, Tool, Action[Any]]: ...
@overload
def sandbox_tools(workspaces: Workspaces, *, backend: Monty, limits: SandboxLimits | None = None) -> tuple[Tool]: ...
def sandbox_tools(
    workspaces: Workspaces,
    *,
    backend: Backend | Monty | None = None,
    given: Mapping[str, Path] | None = None,
    env: Mapping[str, str] | None = None,
    limits: SandboxLimits | None = None,
    door: Path | None = None,
    folder: Path | None = None,
) -> tuple[Tool | Action[Any], ...]:
    """`run_shell`, `run_python` and the action `save_from_workspace`; SandboxMissing if nothing can run code safely.

    `given` are files and folders of the host that can be read, by their absolute path inside, and `env` variables,
    such as PYTHONPATH for packages that are given; nothing secret belongs there. `door` is a unix socket of the broker,
    the only way to a network; `folder` is where files are saved, here if not said. Without a `backend` it is the one of
    the settings. Monty has neither commands nor files, so that `run_python` is all there is.
    """
    chosen, bounds = backend or backend_of_settings(), limits or SandboxLimits()
    if isinstance(chosen, Monty):
        return (_computing(chosen, bounds),)
    given = given or {}
    for inside, path in given.items():
        if not path.exists():
            raise TeamError(f"{str(path)!r} is to be given to the sandbox as {inside!r}, and is not there.")
    touches = Touches(reads=tuple(str(path) for path in given.values()))

    def shell(command: str, stop: threading.Event) -> str:
        return run(stop, command=("sh", "-c", command))

    def python(code: str, stop: threading.Event) -> str:
        unbuffered = {"PYTHONUNBUFFERED": "1"}  # what was printed before it was stopped is not lost
        raw = code.encode("utf-8", "replace")
        return run(stop, command=("python3", "-"), stdin=raw, env=unbuffered | dict(env or {}))

    def run(stop: threading.Event, **of_job: Any) -> str:
        job = Job(workspace=workspaces.current(), given=given, limits=bounds, door=door, **of_job)
        before = _files(job.workspace, bounds)
        finished = chosen.run(job, stop=stop)
        return tell(finished, _tell_files(before, _files(job.workspace, bounds)))

    place = _describe(given, bounds, door)
    in_shell, in_python = f"Run a command in a sandbox. {place}", f"Run a Python program in a sandbox. {place}"
    return (
        job_tool(shell, "run_shell", in_shell, ShellArguments, bounds, touches),
        job_tool(python, "run_python", in_python, PythonArguments, bounds, touches),
        save_from_workspace(workspaces, Blobs(workspaces.folder.parent), folder),
    )


def _computing(monty: Monty, limits: SandboxLimits) -> Tool:
    def run(text: str, _stop: threading.Event) -> str:
        return tell(monty.compute(text, limits=limits), "")

    about = (
        "Compute with a small Python: no files, no network, no packages, and only some of the standard library, such "
        "as math, json, re and datetime. Print what you want to know."
    )
    return job_tool(run, "run_python", about, PythonArguments, limits, Touches())


def job_tool(
    run: Callable[[str, threading.Event], str],
    name: str,
    about: str,
    form: type[BaseModel],
    limits: SandboxLimits,
    touches: Touches,
) -> Tool:
    """The tool, whose job is killed when nobody waits for it any more."""

    def wait(**arguments: str) -> str:
        (text,) = arguments.values()
        return run(text, threading.Event())

    async def wait_aside(**arguments: str) -> str:
        (text,) = arguments.values()
        stop = threading.Event()
        pool = ThreadPoolExecutor(1, "sandbox tool")  # of its own, so that no job waits for the end of another
        try:
            work = partial(copy_context().run, run, text, stop)
            return await asyncio.get_running_loop().run_in_executor(pool, work)
        finally:
            stop.set()
            pool.shutdown(wait=False)

    made = StructuredTool.from_function(wait, wait_aside, name=name, description=about, args_schema=form)
    bounds = ToolLimits(seconds=limits.seconds + _SPARE_SECONDS, characters=3 * SHOWN)
    return tool(risk="sandboxed", touches=touches, limits=bounds)(made)


def tell(finished: Finished, files: str, most: int = SHOWN) -> str:
    """What came of a job, for the agent that wanted it; so many characters of each stream at most."""
    streams = {"stdout": finished.stdout, "stderr": finished.stderr}
    parts = [f"Exit code {finished.exit_code} after {finished.seconds:.1f} s.", finished.note, files]
    parts += [f"{name}:\n{cut(text, most)}" for name, text in streams.items() if text.strip()]
    if not any(text.strip() for text in streams.values()):
        parts.append("It printed nothing.")
    return "\n".join(filter(None, parts))


def cut(text: str, most: int = SHOWN) -> str:
    """The beginning and the end of what is too long: what went wrong is often the last thing said."""
    text = text.rstrip("\n")
    if len(text) <= most:
        return text
    half, left = most // 2, len(text) - most
    return f"{text[:half]}\n[{left:,} characters left out; write to a file and look at parts of it]\n{text[-half:]}"


def _describe(given: Mapping[str, Path], limits: SandboxLimits, door: Path | None) -> str:
    """What an agent has to know about where its code runs."""
    reads = f" It can read {', '.join(sorted(given))}." if given else ""
    network = "The network is reached through HTTP_PROXY only" if door else "There is no network"
    return (
        f"It starts in /work, whose files stay for the next call; nothing else does, no background process either. "
        f"{network}.{reads} Limits: {limits.seconds:g} s, {limits.memory_mb} MB of memory, {limits.processes} "
        f"processes, {limits.disk_mb} MB in /work."
    )


def _files(workspace: Path, limits: SandboxLimits) -> dict[str, Entry]:
    """The files of a workspace; empty if they are too many, which the job is then told."""
    try:
        return {
            entry.path: entry for entry in ConfinedFolder(workspace).list(most=limits.files) if entry.kind == "file"
        }
    except FileRefused:
        return {}


def _tell_files(before: Mapping[str, Entry], after: Mapping[str, Entry]) -> str:
    """Which files are new, changed and gone."""
    kinds = {
        "New": [f"{_name(path)} ({after[path].size:,} bytes)" for path in sorted(after.keys() - before.keys())],
        "Changed": [
            f"{_name(path)} ({entry.size:,} bytes)"
            for path, entry in sorted(after.items())
            if path in before and before[path].stamp != entry.stamp
        ],
        "Gone": [_name(path) for path in sorted(before.keys() - after.keys())],
    }
    lines = []
    for kind, paths in kinds.items():
        if paths:
            more = [f"and {len(paths) - _FILES_SHOWN} more"] if len(paths) > _FILES_SHOWN else []
            lines.append(f"{kind} files: {', '.join(paths[:_FILES_SHOWN] + more)}.")
    return "\n".join(lines)


def _name(path: str) -> str:
    """A name that a job gave, in one line of proper text."""
    return path if path.isprintable() else repr(path)
