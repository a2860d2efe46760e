"""Where a chat model's calls go: its name, its endpoint, and which key pays, without the key."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

from langchain_core.language_models import BaseChatModel
from pydantic import SecretStr

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
