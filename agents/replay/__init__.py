"""Recordings of model calls, and their replay."""

from signoff.exports import TYPE_CHECKING, offer

if TYPE_CHECKING:
    from signoff.agents.replay.cassette import Cassette as Cassette
offer(__name__)
