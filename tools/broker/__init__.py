"""The broker of secrets: a process beside the run that adds credentials to requests, so that nobody else holds them."""

from signoff.exports import TYPE_CHECKING, offer

if TYPE_CHECKING:
    from signoff.tools.broker.broker import Broker as Broker, open_broker as open_broker
    from signoff.tools.broker.secrets_file import SecretName as SecretName, SecretRule as SecretRule
    from signoff.tools.broker.secrets_file import secret_names as secret_names
offer(__name__)
