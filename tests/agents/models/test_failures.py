"""What an error means, whatever client raised it."""

import socket

import pytest

from signoff.agents.models.failures import classify


class ConnectError(Exception):
    """As httpx calls it."""


class NewConnectionError(Exception):
    """As urllib3 calls it."""


@pytest.mark.parametrize("kind", [ConnectError, NewConnectionError])
@pytest.mark.parametrize(
    ("cause", "is_lasting"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), True),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), False),
        (ConnectionRefusedError(111, "Connection refused"), False),
        (TimeoutError("timed out"), False),
    ],
    ids=["no such name", "no name server", "refused", "no connection in time"],
)
def test_a_request_that_never_left_is_known_by_its_causes(
    kind: type[Exception], cause: Exception, is_lasting: bool
) -> None:
    error = kind("All connection attempts failed")
    error.__cause__ = cause
    failure = classify(error)
    assert (failure.kind, failure.is_lasting, failure.is_paid) == ("unsent", is_lasting, False)


def test_a_connection_that_was_lost_may_have_cost_something() -> None:
    failure = classify(ConnectionResetError(104, "Connection reset by peer"))
    assert (failure.kind, failure.is_paid) == ("dropped", True)
