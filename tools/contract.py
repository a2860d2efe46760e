"""What every tool says of itself: how risky it is, what it may touch, how long it may take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from signoff.errors import TeamError

LoopRisk = Literal["read", "sandboxed"]
"""Runs inside an agent's loop: it changes nothing, or only what is thrown away."""
Risk = Literal["write", "external", "irreversible"]
"""Happens at the gate only: files here, the world beyond, or something that cannot be undone."""


@dataclass(frozen=True, kw_only=True)
class Touches:
    """What a tool may touch outside of the run; nothing, unless it is said here."""

    hosts: tuple[str, ...] = ()
    """Such as `api.github.com` or `*.example.org`."""
    reads: tuple[str, ...] = ()
    """Folders or files."""
    writes: tuple[str, ...] = ()
    """Folders or files."""
    secrets: tuple[str, ...] = ()
    """Names of secrets that the broker adds to its requests; the tool never sees them."""

    def __str__(self) -> str:
        """One line for the person who decides; empty if it is nothing."""
        parts = {"reads": self.reads, "writes": self.writes, "hosts": self.hosts, "secrets": self.secrets}
        return "; ".join(f"{name}: {', '.join(values)}" for name, values in parts.items() if values)


NOTHING = Touches()


@dataclass(frozen=True, kw_only=True)
class ToolLimits:
    """How much one call of a tool may take."""

    seconds: float = 60.0
    characters: int = 50_000
    """Of its result, as a model is shown it."""

    def __post_init__(self) -> None:
        for name in ("seconds", "characters"):
            if not getattr(self, name) > 0:
                raise TeamError(f"ToolLimits({name}={getattr(self, name)!r}) lets no call be made. Give more than 0.")
