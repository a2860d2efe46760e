"""Which sandbox there is here: the first backend that can be used, or the one that the settings name."""

from __future__ import annotations

from signoff.settings import load_settings
from signoff.tools.errors import SandboxMissing
from signoff.tools.sandbox.bubblewrap.backend import Bubblewrap
from signoff.tools.sandbox.containers import Containers
from signoff.tools.sandbox.monty import Monty
from signoff.tools.sandbox.sandbox import Backend
from signoff.tools.sandbox.seats import Seated

NAMES = ("bubblewrap", "docker", "podman")
"""The backends, in the order in which they are tried."""


def open_backend(name: str = "") -> Backend:
    """The backend of this name, or the first that can be used; SandboxMissing if there is none. Never the host.

    Its jobs take seats of the machine, and wait where there are none.
    """
    if name and name not in NAMES:
        raise SandboxMissing((f"there is no backend {name!r}; there are {', '.join(NAMES)}",))
    problems = []
    for candidate in (name,) if name else NAMES:
        backend: Backend = Bubblewrap() if candidate == "bubblewrap" else Containers(candidate)
        problem = backend.problem()
        if not problem:
            return Seated(backend)
        problems.append(f"{candidate}: {problem}")
    raise SandboxMissing(problems)


def backend_of_settings() -> Backend | Monty:
    """What the settings name, or what can be used here; Monty only if nothing else can."""
    name, monty = load_settings().sandbox, Monty()
    if name != "monty":
        try:
            return open_backend(name)
        except SandboxMissing:
            if name or monty.problem():
                raise
    elif monty.problem():
        raise SandboxMissing((f"monty: {monty.problem()}",))
    return monty
