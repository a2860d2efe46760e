"""The protocol of a sandbox: a job, its limits, what came of it, and what a backend that runs it has to do."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from signoff.error_base import TeamError

Ended = Literal["exit", "signal", "time", "memory", "processes", "output", "disk", "stopped"]
"""Why a job ended: by itself, by a signal of its own, at one of its limits, or because nobody waits for it any more."""

MB = 1 << 20
KILLED = 128 + 9
"""The exit code of what was killed."""
LONGEST_WORD = 1 << 17
"""Bytes of one argument or variable, with its end; Linux takes no longer ones."""
LONGEST_COMMAND = 1 << 20
ENVIRONMENT = {"HOME": "/work", "TMPDIR": "/tmp", "LANG": "C.UTF-8", "TZ": "UTC", "PYTHONDONTWRITEBYTECODE": "1"}
"""What every job is given; a backend adds its own."""

_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor, modes
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|\x9c|$)"  # OSC, DCS, SOS, PM, APC: titles, links, clipboard, up to their end
    r"|\x1b[ -/]*[0-~]"  # two characters and more
    r"|\x9b[0-?]*[ -/]*[@-~]",
    re.DOTALL,
)
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # they turn the direction of text around
    "\u2028\u2029\ufeff\U000e0000-\U000e007f]"  # line ends that no terminal shows, and tags that nothing shows
)


@dataclass(frozen=True, kw_only=True)
class SandboxLimits:
    """What one job may use before it is killed, with everything it started."""

    seconds: float = 30.0
    cpu_seconds: int = 60
    """Of each process; a busy job of many processes ends at `seconds`."""
    memory_mb: int = 512
    """Of all processes together; no single one can have more address space than this."""
    cpus: float = 1.0
    """As how many processors it counts where jobs take seats of the machine; it is held to none."""
    processes: int = 64
    """Processes and threads at once."""
    output_bytes: int = 1_000_000
    """Of each of stdout and stderr."""
    disk_mb: int = 256
    """The whole workspace, with what is in it at the beginning."""
    files: int = 20_000
    """Files and folders in the workspace."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise TeamError(f"SandboxLimits({name}={value!r}) lets nothing run. Give more than 0.")


@dataclass(frozen=True, kw_only=True)
class Job:
    """One command, and all that it can see of the host."""

    command: tuple[str, ...]
    workspace: Path
    """Its folder: `/work` inside, where it starts. What it leaves there is found here when it ended."""
    given: Mapping[str, Path] = field(default_factory=dict)
    """Files and folders of the host that it may read, by their absolute path inside."""
    stdin: bytes = b""
    env: Mapping[str, str] = field(default_factory=dict)
    """Added to a minimal environment; nothing of the host's is passed on."""
    limits: SandboxLimits = SandboxLimits()
    door: Path | None = None
    """A unix socket of the host, the only way out: HTTP_PROXY inside leads there. None: no network at all."""


@dataclass(frozen=True, kw_only=True)
class Finished:
    """What came of a job."""

    exit_code: int
    """As a shell tells it: 128 and the number of the signal that killed it."""
    stdout: str
    """Without escape sequences and control characters but tab and newline."""
    stderr: str
    ended: Ended
    seconds: float
    note: str = ""
    """For the agent: what stopped it, what was taken out or left behind; empty if there is nothing to say."""


def finish(
    limits: SandboxLimits,
    *,
    ended: Ended,
    exit_code: int,
    stdout: bytes = b"",
    stderr: bytes = b"",
    seconds: float,
    notes: Sequence[str] = (),
) -> Finished:
    """What came of a job, as it is shown: with the reason if it was stopped, and then what else is to be said."""
    (out, first), (err, second) = _readable(stdout), _readable(stderr)
    taken = f"{first + second} escape sequences and control characters were taken out of the output."
    told = filter(None, (_why_ended(ended, limits), *notes, taken if first + second else ""))
    return Finished(exit_code=exit_code, stdout=out, stderr=err, ended=ended, seconds=seconds, note=" ".join(told))


def _why_ended(ended: Ended, limits: SandboxLimits) -> str:
    """What stopped it, for the agent; empty if it ended by itself."""
    return {
        "exit": "",
        "signal": "A signal ended it; one that takes more processor time than allowed is ended so, too.",
        "time": f"It was stopped after {limits.seconds:g} s, the limit; all it had started was stopped, too.",
        "memory": f"It was stopped because it took more than {limits.memory_mb} MB of memory in all.",
        "processes": f"It was stopped because it had more than {limits.processes} processes and threads at once.",
        "output": f"It was stopped because it wrote more than {limits.output_bytes:,} bytes; write to a file instead.",
        "disk": f"The workspace may hold {limits.disk_mb} MB in {limits.files:,} files, and that was not enough.",
        "stopped": "It was stopped because nobody waits for it any more; what it did in the workspace is not kept.",
    }[ended]


def _readable(raw: bytes) -> tuple[str, int]:
    """The text of this output, and how many escape sequences and control characters were taken out of it."""
    text = raw.decode("utf-8", "replace").replace("\r\n", "\n")
    text, escapes = _ESCAPES.subn("", text)
    text, controls = _CONTROLS.subn("", text)
    return text, escapes + controls


def not_run(job: Job) -> Finished | None:
    """What comes of a job that no system would start; None for one that may be tried."""
    words = [*job.command, *(f"{name}={value}" for name, value in job.env.items())]
    sizes = [len(word.encode("utf-8", "surrogatepass")) for word in words]
    if not job.command:
        reason = "there is no command"
    elif any("\0" in word for word in words) or any("=" in name or not name for name in job.env):
        reason = "a NUL character, or a variable without a proper name, cannot be passed on"
    elif max(sizes) >= LONGEST_WORD or sum(sizes) > LONGEST_COMMAND:
        reason = f"a word may have {LONGEST_WORD:,} bytes and all {LONGEST_COMMAND:,}; write a file and name that"
    elif any("\ud800" <= sign <= "\udfff" for word in words for sign in word):
        reason = "half a character cannot be passed on"
    else:
        return None
    return Finished(exit_code=126, stdout="", stderr="", ended="exit", seconds=0.0, note=f"It was not run: {reason}.")


class Backend(Protocol):
    """A way to run a job that nothing gets out of but its output and its workspace."""

    @property
    def name(self) -> str:
        """How the setting `SIGNOFF_SANDBOX` names it."""

    def problem(self) -> str:
        """Why it cannot be used here and what would help; empty if it can."""

    def run(self, job: Job, *, stop: threading.Event | None = None) -> Finished:
        """Run it to its end, blocking; everything it started is dead on return. `stop` kills it from another thread."""
