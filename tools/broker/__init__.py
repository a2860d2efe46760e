"""The broker of secrets: a process beside the run that adds credentials to requests, so that nobody else holds them."""

from typing import TYPE_CHECKING

from signoff.exports import lazy_exports

if TYPE_CHECKING:
    from signoff.tools.broker.broker import Broker as Broker, open_broker as open_broker
    from signoff.tools.broker.secrets_file import SecretRule as SecretRule
else:
    __getattr__, __dir__, __all__ = lazy_exports(__name__)
