"""One memory: what a team should know next time, and where it came from."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from signoff.checkpoints import canonical, digest_text, redact_text

LONGEST_TEXT: Final = 2_000
"""Characters; what is longer belongs into a document."""

Kind = Literal["fact", "preference", "lesson"]

_UNSEEN: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ue000-\uf8ff\U000e0000-\U000e0fff]"
)
"""Controls, changes of direction, surrogates, private use and tags: nobody sees what they do to a text."""


def _check_text(text: str) -> str:
    if found := _UNSEEN.search(text):
        raise ValueError(f"it holds U+{ord(found[0]):04X}, which nobody sees. Leave it out")
    if not text.strip():
        raise ValueError("it says nothing")
    if redact_text(text) != text:
        raise ValueError(
            "it holds what looks like a secret, and memories are kept readable. Say where the secret is kept instead"
        )
    return text


def _check_line(text: str) -> str:
    if text and text.splitlines() != [text]:
        raise ValueError("it is one line")
    return _check_text(text)


Line = Annotated[str, AfterValidator(_check_line)]


class Note(BaseModel):
    """What an agent wants to be remembered."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    subject: Line = Field(description="What it is about, in a few words", max_length=120)
    text: Annotated[str, AfterValidator(_check_text)] = Field(
        description="What the team should know next time, without secrets", max_length=LONGEST_TEXT
    )
    kind: Kind = "fact"
    sources: tuple[Annotated[Line, Field(max_length=300)], ...] = Field(
        default=(), description="Documents or addresses that it was learned from", max_length=20
    )
    days: int | None = Field(default=None, ge=1, le=3_650, description="Days until it is forgotten; null: never")


class Origin(BaseModel):
    """Where a memory came from."""

    model_config = ConfigDict(frozen=True)

    run_id: str
    team: str
    """The team of the run."""
    agent: str
    """Who proposed it."""
    goal: str
    """Of the run, without secrets."""
    approval_id: str
    approved_by: str
    """Everybody who agreed, or `policy`."""
    at: str
    sources: tuple[str, ...]
    """As the agent names them."""
    flags: tuple[str, ...]
    """What whoever approved it was warned of."""


class Remembered(BaseModel):
    """A memory as it is kept."""

    model_config = ConfigDict(frozen=True)

    id: str
    team: str
    """Whose memory it is."""
    subject: str
    text: str
    kind: Kind
    expires_at: str
    """Empty: never."""
    origin: Origin

    @property
    def sha256(self) -> str:
        """Digest of the text: names it where the text itself is not to be kept."""
        return digest_text(self.text)

    @property
    def has_expired(self) -> bool:
        return bool(self.expires_at) and self.expires_at <= canonical.now()

    @property
    def is_flagged(self) -> bool:
        return bool(self.origin.flags)
