"""The git program, started so that nothing but itself can run: no hooks, helpers, filters or settings."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import threading
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final, TypedDict

from signoff.checkpoints import hide_patterns
from signoff.tools.errors import GitFailed
from signoff.tools.storage.child_environment import clean_environment

MOST: Final = 50_000_000
"""Bytes of output that are taken."""

_PROTOCOLS: Final = frozenset({"file", "http", "https"})


class GitOptions(TypedDict, total=False):
    """How git is run, as `run_git` takes it."""

    stdin: bytes
    protocols: Sequence[str]
    settings: Sequence[str]
    env: Mapping[str, str] | None
    seconds: float
    most: int
    codes: Sequence[int]


def run_git(
    *arguments: str,
    git_dir: Path | None = None,
    stdin: bytes = b"",
    protocols: Sequence[str] = (),
    settings: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    seconds: float = 60.0,
    most: int = MOST,
    codes: Sequence[int] = (0,),
) -> bytes:
    """What git prints; GitFailed if it ends with another code than these, prints too much or takes too long.

    It may speak only the protocols named (`file`, `http`, `https`), so that no address can make it start a program.
    """
    program = shutil.which("git")
    what = next((part for part in arguments[2 if arguments[0] == "-C" else 0 :] if not part.startswith("-")), "")
    if program is None:
        raise GitFailed(what, "there is no git program on this machine. Install git.")
    set_to = [*(f"{name}={value}" for name, value in _every("settings").items()), *settings]
    options = ["--no-pager", "--no-replace-objects", *(part for setting in set_to for part in ("-c", setting))]
    allowed = ":".join(name for name in protocols if name in _PROTOCOLS) or "none"
    environment = clean_environment(**_every("environment"), GIT_ALLOW_PROTOCOL=allowed)
    if git_dir is not None:
        environment["GIT_DIR"] = str(git_dir)
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as errors:
        given.write(stdin)
        given.seek(0)
        process = subprocess.Popen(
            [program, *options, *arguments],
            stdin=given,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=git_dir or os.path.abspath(os.sep),
            env=environment | dict(env or {}),
            start_new_session=True,
        )
        out, code, timed_out = _read_output(process, seconds, most)
        errors.seek(0)
        said = errors.read(4_000).decode("utf-8", "replace").strip()
    if timed_out:
        raise GitFailed(what, f"it took longer than {seconds:g} seconds and was stopped. {said}".strip())
    if len(out) > most:
        raise GitFailed(what, f"its output has more than {most:,} bytes. Ask for less.")
    if code not in codes:
        raise GitFailed(what, hide_patterns(said) or f"it ended with exit code {code}.")
    return out


def _read_output(process: subprocess.Popen[bytes], seconds: float, most: int) -> tuple[bytes, int, bool]:
    """Output (more than `most` bytes if it was too much), exit code, and whether it was killed for taking too long."""
    timed_out = threading.Event()

    def stop() -> None:
        timed_out.set()
        _kill(process)

    timer = threading.Timer(seconds, stop)
    timer.daemon = True
    timer.start()
    try:
        assert process.stdout is not None
        with process.stdout:
            out = process.stdout.read(most + 1)
        if len(out) > most:
            _kill(process)
        return out, process.wait(), timed_out.is_set()
    except BaseException:
        _kill(process)
        process.wait()
        raise
    finally:
        timer.cancel()


@cache
def _every(what: str) -> dict[str, str]:
    """The `settings` or the `environment` of every git."""
    read: dict[str, dict[str, str]] = tomllib.loads(Path(__file__).with_name("command.toml").read_text("utf-8"))
    return read[what]


def _kill(process: subprocess.Popen[bytes]) -> None:
    """With everything it started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
