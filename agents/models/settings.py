"""Terms: how models are called, as the settings say it; and who pays for a call that no step makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

from langchain_core.language_models import BaseChatModel
from pydantic import SecretStr

from signoff.agents.run_context import Payer, budgets_of, current_payer
from signoff.agents.safety.prompt_redaction import PromptRedaction
from signoff.checkpoints.ledger.rate_limits import RateLimit
from signoff.checkpoints.opening import configured_ledger
from signoff.errors import SettingsError
from signoff.settings import DollarsPerMillion, Settings, load_settings


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What holds for every call."""

    timeout: float
    """Seconds for one try."""
    idle_timeout: float
    """Seconds of silence amid an answer."""
    retries: int
    first_pause: float = 0.5
    """Seconds before the second try, at random from nothing up to that; twice as long before each further one."""
    patience: float
    """Seconds for one call with all its tries and waits."""
    max_output_tokens: int
    json_actions: bool | None
    prices: Mapping[str, DollarsPerMillion]
    rates: Mapping[str, RateLimit]
    shield: PromptRedaction

    @classmethod
    def of(cls, settings: Settings) -> Terms:
        """The terms in these settings; SettingsError if they cannot be read."""
        try:
            shield = PromptRedaction.read(settings.redact)
        except ValueError as error:
            raise SettingsError("SIGNOFF_REDACT", str(error), "Correct or unset it.") from None
        return cls(
            timeout=settings.model_timeout,
            idle_timeout=settings.model_idle_timeout,
            retries=settings.model_retries,
            patience=settings.model_patience,
            max_output_tokens=settings.max_output_tokens,
            json_actions=settings.json_actions,
            prices=settings.prices,
            rates={model: RateLimit(**limits) for model, limits in settings.rates.items()},
            shield=shield,
        )


def payer_here() -> Payer:
    """Who pays: the step this is called in, or outside of any whoever the database in the settings belongs to."""
    return current_payer() or _owner(load_settings().database_name)


@lru_cache(maxsize=4)
def _owner(_database: str) -> Payer:
    settings = load_settings()
    limits = budgets_of(settings)
    return Payer(ledger=configured_ledger(settings), budgets={level: limits[level] for level in ("call", "day")})


_URLS = ("openai_api_base", "base_url", "anthropic_api_url", "azure_endpoint", "endpoint")
_KEYS = ("openai_api_key", "api_key", "anthropic_api_key", "google_api_key", "mistral_api_key")
_HOSTS = {
    "openai-chat": "api.openai.com",
    "anthropic-chat": "api.anthropic.com",
    "chat-google-generative-ai": "generativelanguage.googleapis.com",
    "mistralai-chat": "api.mistral.ai",
}
"""Where a provider's own package goes when nothing else is set."""


@dataclass(frozen=True)
class Address:
    """One model behind one endpoint, for one key."""

    model: str
    endpoint: str
    """Host, and port if it is not the usual one; empty if the model has none."""
    key_sha256: str
    """Beginning of the key's digest, empty without a key."""

    @property
    def key(self) -> str:
        """What shares a rate limit."""
        return f"{self.endpoint or 'here'} {self.model} {self.key_sha256}".strip()


def address_of(model: BaseChatModel) -> Address:
    """Where this model's calls go."""
    return Address(model_name(model), _endpoint(model), _key(model))


def model_name(model: BaseChatModel | None) -> str:
    """The model's own name, for prices and errors."""
    return str(getattr(model, "model_name", None) or getattr(model, "model", None) or type(model).__name__)


def _endpoint(model: BaseChatModel) -> str:
    for name in _URLS:
        url = getattr(model, name, None)
        if isinstance(url, str) and url:
            return urlsplit(url if "//" in url else f"//{url}").netloc.rpartition("@")[2]
    return _HOSTS.get(model._llm_type, "")


def _key(model: Any) -> str:
    for name in _KEYS:
        key = getattr(model, name, None)
        said = key.get_secret_value() if isinstance(key, SecretStr) else key
        if isinstance(said, str) and said:
            return sha256(said.encode()).hexdigest()[:12]
    return ""
