"""Runs: starting, driving, deciding, recording and replaying them."""

from typing import TYPE_CHECKING

from signoff.exports import lazy_exports

if TYPE_CHECKING:
    from signoff.fleet.driver import read_state as read_state
    from signoff.fleet.events import Event as Event, Watch as Watch
    from signoff.fleet.recording import Ending as Ending, record as record, replay as replay, settings_of as settings_of
    from signoff.fleet.run import Run as Run
else:
    __getattr__, __dir__, __all__ = lazy_exports(__name__)
