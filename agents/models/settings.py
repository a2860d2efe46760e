"""How models are called, as the settings say it; and which model a chat model calls, where, and with whose key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

from langchain_core.language_models import BaseChatModel
from pydantic import SecretStr

from signoff.agents.safety.prompt_redaction import PromptRedaction
from signoff.checkpoints.ledger import RateLimit
from signoff.error_base import SettingsError
from signoff.settings import DollarsPerMillion, Settings


@dataclass(frozen=True, kw_only=True)
class CallSettings:
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
    context_tokens: int | None = None
    json_actions: bool | None
    prices: Mapping[str, DollarsPerMillion]
    rates: Mapping[str, RateLimit]
    redaction: PromptRedaction

    @classmethod
    def of(cls, settings: Settings) -> CallSettings:
        """What these settings say; SettingsError if they cannot be read."""
        try:
            redaction = PromptRedaction.read(settings.redact)
        except ValueError as error:
            raise SettingsError("SIGNOFF_REDACT", str(error), "Correct or unset it.") from None
        return cls(
            timeout=settings.model_timeout,
            idle_timeout=settings.model_idle_timeout,
            retries=settings.model_retries,
            patience=settings.model_patience,
            max_output_tokens=settings.max_output_tokens,
            context_tokens=settings.context_tokens,
            json_actions=settings.json_actions,
            prices=settings.prices,
            rates={model: RateLimit(**limits) for model, limits in settings.rates.items()},
            redaction=redaction,
        )


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
class ModelIdentity:
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


def identity_of(model: BaseChatModel) -> ModelIdentity:
    """Where this model's calls go."""
    return ModelIdentity(model_name(model), _endpoint(model), _key(model))


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


def without_own_tries(model: BaseChatModel) -> BaseChatModel:
    """The model, with a client that tries once: tries that nobody counts are in no budget and under no limit."""
    clients = [getattr(model, name, None) for name in ("root_client", "root_async_client")]
    if any(client is None or not hasattr(client, "with_options") for client in clients):
        if getattr(model, "max_retries", 0) == 0:  # None is a number of the client's own
            return model
        once = model.model_copy(update={"max_retries": 0})
        for kind in type(model).__mro__:
            for name, member in vars(kind).items():
                if isinstance(member, cached_property):  # such as a client that was made from the setting
                    once.__dict__.pop(name, None)
        return once
    once, once_async = (client.with_options(max_retries=0) for client in clients if client is not None)
    return model.model_copy(
        update={
            "root_client": once,
            "root_async_client": once_async,
            "client": once.chat.completions,
            "async_client": once_async.chat.completions,
        }
    )
