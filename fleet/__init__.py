"""Runs: starting, driving, deciding, recording and replaying them."""

from signoff.exports import TYPE_CHECKING, offer

if TYPE_CHECKING:
    from signoff.fleet.driver import OF_RUN as OF_RUN, check_whole as check_whole
    from signoff.fleet.events import Event as Event, Watch as Watch
    from signoff.fleet.forking import Moment as Moment, fork_run as fork_run, forked_from as forked_from
    from signoff.fleet.forking import moments_at as moments_at, moments_of as moments_of
    from signoff.fleet.history import FIRST as FIRST, Past as Past, past_of as past_of, read_state as read_state
    from signoff.fleet.recording import Ending as Ending, record as record, replay as replay, settings_of as settings_of
    from signoff.fleet.run import Run as Run
    from signoff.fleet.standing import Standing as Standing, standings as standings
    from signoff.fleet.cancelling import cancel_run as cancel_run
offer(__name__)
