"""Recordings of model calls, and their replay."""

from typing import TYPE_CHECKING

from signoff.exports import lazy_exports

if TYPE_CHECKING:
    from signoff.agents.replay.cassette import Cassette as Cassette
else:
    __getattr__, __dir__, __all__ = lazy_exports(__name__)
