"""The broker's process: `python -m signoff.tools.broker`, started by the run, which tells it the rest on its input."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import socket
import sys
import threading
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from signoff.error_base import SettingsError
from signoff.tools.broker.broker import SANDBOX
from signoff.tools.broker.proxy import Proxy
from signoff.tools.broker.secrets_file import Listed, Listing, SecretsFile, read_secrets_file, read_values
from signoff.tools.storage.child_environment import forget_variables, is_harmless

_PR_SET_DUMPABLE: Final = 4
_LARGEST_JOURNAL: Final = 1_000_000
"""Bytes at which the file becomes `broker.log.1`, in place of the one before."""
_LONGEST: Final = 500


def seclude() -> None:
    """No core files, private new files, and on Linux no ptrace, /proc/PID/mem and environ for anybody but root."""
    os.umask(0o077)
    if os.name == "posix":
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def main() -> int:
    """Serve until the run's end closes the input."""
    seclude()
    given = json.loads(sys.stdin.readline())
    environment = dict(os.environ)
    forget_variables([name for name in environment if not is_harmless(name)])
    try:
        secrets = read_secrets_file(Path(given["secrets"]))
        values = read_values(secrets, environment, again=given["again"])
    except SettingsError as error:
        _say({"problem": [error.setting, error.problem, error.remedy]})
        return 2
    del environment
    asyncio.run(_serve(given, secrets, values))
    return 0


async def _serve(given: dict[str, Any], secrets: SecretsFile, values: dict[str, str]) -> None:
    listing = Listing(
        secrets=tuple(
            Listed(name=name, source=one.source, available=name in values, rules=one.rules)
            for name, one in secrets.secrets.items()
        ),
        open=secrets.open,
    )
    proxy = Proxy(
        secrets=secrets,
        values=values,
        journal=partial(write_journal, Path(given["log"])),
        key=bytes.fromhex(given["key"]),
    )
    server = await _listen(proxy, given["port"])
    doors = {}
    if hasattr(socket, "AF_UNIX"):
        for number, tool in enumerate(sorted(listing.tools)):
            doors[tool] = str(Path(given["folder"], f"{number}.sock"))
            await asyncio.start_unix_server(partial(proxy.serve, tool=tool), doors[tool])
            # A sandbox has another user; on the host nobody but us gets into the folder.
            os.chmod(doors[tool], 0o666 if tool == SANDBOX else 0o600)
    ended = asyncio.Event()
    threading.Thread(target=_wait, args=(asyncio.get_running_loop(), ended), daemon=True).start()
    _say(
        {
            "port": server.sockets[0].getsockname()[1],
            "doors": doors,
            "taken": [one.env for one in secrets.secrets.values() if one.env],
            "listing": listing.model_dump(mode="json"),
        }
    )
    await ended.wait()
    await proxy.upstream.close()
    for path in doors.values():
        Path(path).unlink(missing_ok=True)
    Path(given["folder"]).rmdir()


def write_journal(file: Path, /, **facts: str | int) -> None:
    """Add a line of JSON, long texts cut, to a file that only its owner may read and several brokers may write to."""
    told = {key: fact[:_LONGEST] if isinstance(fact, str) else fact for key, fact in facts.items()}
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    line = json.dumps({"at": at, **told}, ensure_ascii=True) + "\n"
    handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
    try:
        os.write(handle, line.encode())
        size = os.fstat(handle).st_size
    finally:
        os.close(handle)
    if size > _LARGEST_JOURNAL:
        os.replace(file, file.with_name(f"{file.name}.1"))


async def _listen(proxy: Proxy, port: int) -> asyncio.Server:
    """On loopback only; on the port of the broker before, whose address tools may still have, if it is free."""
    try:
        return await asyncio.start_server(proxy.serve, "127.0.0.1", port)
    except OSError:
        return await asyncio.start_server(proxy.serve, "127.0.0.1", 0)


def _wait(loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
    """The input ends when the run does, however it ends."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    loop.call_soon_threadsafe(ended.set)


def _say(told: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
