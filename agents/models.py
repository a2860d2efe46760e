"""Models by name: which one to use, and how to reach it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from signoff.errors import ModelError, ModelRefused, ModelUnreachable, SettingsError, UnknownModel
from signoff.settings import Settings

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

OFFLINE = "offline"
"""No model: the agents' function bodies."""
DEFAULT_OPENAI_MODEL = "gpt-5.4-mini"

_PASSING = (408, 409, 425, 429)
"""Statuses below 500 after which trying again may help."""


def choose_model(settings: Settings) -> str:
    """The model's name: what is set, else `openai` if a key or a base URL is there, else `offline`."""
    if settings.model:
        return settings.model
    return "openai" if settings.base_url or settings.api_key.get_secret_value() else OFFLINE


def load_model(name: str, settings: Settings) -> BaseChatModel | None:
    """The chat model of this name; None for `offline`. Nothing is called, but for `openai` without a name."""
    if name == OFFLINE:
        return None
    provider, _, model = name.partition(":")
    if provider == "openai":
        return _openai(model, settings)
    if not model:
        raise UnknownModel(name, "it names no provider and model")
    from langchain.chat_models import init_chat_model

    try:
        loaded: BaseChatModel = init_chat_model(name)
    except ImportError as error:
        raise UnknownModel(name, f"its provider is not installed ({error})") from error
    except ValueError as error:
        raise UnknownModel(name, str(error).splitlines()[0]) from error
    return loaded


def model_name(model: BaseChatModel | None) -> str:
    """The model's own name, for prices and errors."""
    return str(getattr(model, "model_name", None) or getattr(model, "model", None) or type(model).__name__)


def _openai(model: str, settings: Settings) -> BaseChatModel:
    from langchain_openai import ChatOpenAI

    key = settings.api_key.get_secret_value()
    if not key and not settings.base_url:
        raise SettingsError(
            "OPENAI_API_KEY", "is not set", "Set it, or SIGNOFF_BASE_URL for another endpoint, or use --model offline."
        )
    return ChatOpenAI(
        model=model or (_first_served(settings) if settings.base_url else DEFAULT_OPENAI_MODEL),
        api_key=key or "none",  # an endpoint without keys still needs the header to be there
        base_url=settings.base_url or None,
        timeout=settings.model_timeout,
        max_retries=settings.model_retries,
        stream_usage=True,  # with a base URL it would stream without usage, and cost would read 0
        use_responses_api=False if settings.base_url else None,  # compatible endpoints have chat completions only
    )


def _first_served(settings: Settings) -> str:
    """Name of the first model that the endpoint offers."""
    import openai

    client = openai.OpenAI(
        base_url=settings.base_url, api_key=settings.api_key.get_secret_value() or "none", timeout=10, max_retries=1
    )
    with client:
        try:
            served = client.models.list().data
        except openai.OpenAIError as error:
            raise translate(error, "openai") or UnknownModel("openai", str(error)) from error
    if not served:
        raise UnknownModel("openai", f"{settings.base_url} offers no model")
    return served[0].id


def translate(error: Exception, model: str) -> ModelError | None:
    """What a failed call means, as one of our errors; None if the error does not come from the endpoint."""
    import openai
    from langchain_core import exceptions as known

    refusals = (
        known.ModelAuthenticationError,
        known.ModelPermissionDeniedError,
        known.ModelNotFoundError,
        known.ModelInvalidRequestError,
    )
    if isinstance(error, known.ModelError):
        return (ModelRefused if isinstance(error, refusals) else ModelUnreachable)(model, _message(error))
    if isinstance(error, openai.APIStatusError):
        refused = error.status_code < 500 and error.status_code not in _PASSING
        return (ModelRefused if refused else ModelUnreachable)(model, _message(error))
    if isinstance(error, openai.APIConnectionError | ConnectionError | TimeoutError):
        return ModelUnreachable(model, _message(error))
    return None


def _message(error: Exception) -> str:
    """The endpoint's own words, one line."""
    status = getattr(error, "status_code", None)
    body = getattr(error, "body", None)
    said = body.get("message") if isinstance(body, dict) else None
    text = said if isinstance(said, str) else str(error)
    line = (text.splitlines() or [type(error).__name__])[0][:300].rstrip(". ")
    return f"{status} {line}" if isinstance(status, int) and not line.startswith("Error code") else line
