"""Models by name: which one to use, and how to reach it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from typing import TYPE_CHECKING
from weakref import finalize, ref

from pydantic import ValidationError

from signoff.agents.errors import ModelRefused, ModelUnreachable, UnknownModel
from signoff.agents.models.failures import classify
from signoff.agents.models.guarded import guard
from signoff.agents.models.settings import CallSettings
from signoff.agents.run_context import Payer, current_payer
from signoff.error_base import SettingsError
from signoff.settings import Settings, load_settings

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from signoff.agents.models.guarded import GuardedModel

OFFLINE = "offline"
"""No model: the agents' function bodies."""
DEFAULT_OPENAI_MODEL = "gpt-5.4-mini"


def choose_model(settings: Settings) -> str:
    """The model's name: what is set, else `openai` if a key or a base URL is there, else `offline`."""
    if settings.model:
        return settings.model
    return "openai" if settings.base_url or settings.api_key.get_secret_value() else OFFLINE


def models_of(model: BaseChatModel | Tiers | str | None, settings: Settings) -> tuple[str, Tiers | None]:
    """The models by tier that a team is given or the settings choose, and the name that they are found by again.

    The name is empty if only the settings know, or the caller.
    """
    if model is not None and not isinstance(model, str):
        return "", tiers_of(model)
    name = model or ("" if settings.tiers else choose_model(settings))
    return name, load_models(settings, name or None)


def load_models(settings: Settings, model: str | None = None) -> Tiers | None:
    """The guarded models by tier: `model` for every tier, else the settings' tiers, else the settings' one model.

    None for `offline`. Nothing is called, but for `openai` without a name behind a base URL.
    """
    if model is None and settings.tiers:
        return _tiers(settings)
    chat = load_model(model or choose_model(settings), settings)
    return None if chat is None else Tiers({"": guard(chat, settings=CallSettings.of(settings))})


def _tiers(settings: Settings) -> Tiers:
    how = CallSettings.of(settings)
    chains = {
        tier: [load_model(name, settings) for name in ([names] if isinstance(names, str) else names)]
        for tier, names in settings.tiers.items()
    }
    for tier, chain in chains.items():
        if not chain or None in chain:
            raise SettingsError("SIGNOFF_TIERS", f"gives the tier {tier!r} no model, or {OFFLINE!r}", "Name one.")
    strongest = chains[list(chains)[-1]][0]
    return Tiers(
        {
            tier: guard(*[model for model in chain if model is not None], tier=tier, settings=how, dearest=strongest)
            for tier, chain in chains.items()
        }
    )


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
        loaded: BaseChatModel = init_chat_model(model, model_provider=provider)
    except ImportError as error:
        package = getattr(error.__cause__, "name", None) or f"that of {provider}"
        raise UnknownModel(name, f"its package is not installed ({package.replace('_', '-')})") from error
    except ValidationError as error:
        raise UnknownModel(name, f"its settings are not complete ({error.errors()[0]['msg'].rstrip('.')})") from error
    except ValueError as error:
        raise UnknownModel(name, f"there is no provider {provider!r}") from error
    return loaded


def _openai(model: str, settings: Settings) -> BaseChatModel:
    from signoff.agents.models.openai.chat_model import Endpoint

    key = settings.api_key.get_secret_value()
    if not key and not settings.base_url:
        raise SettingsError(
            "OPENAI_API_KEY", "is not set", "Set it, or SIGNOFF_BASE_URL for another endpoint, or use --model offline."
        )
    return Endpoint(
        model=model or (_first_served(settings) if settings.base_url else DEFAULT_OPENAI_MODEL),
        api_key=key or "none",  # an endpoint without keys still needs the header to be there
        base_url=settings.base_url or None,
        timeout=settings.model_timeout,
        max_retries=0,  # the guard tries again
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
            failure = classify(error)
            told = ModelRefused if failure.kind == "refused" else ModelUnreachable
            raise told("openai", failure.message, failure.remedy) from error
    if not served:
        raise UnknownModel("openai", f"{settings.base_url} offers no model")
    return served[0].id


@dataclass(frozen=True)
class Tiers:
    """Guarded models by the name of their tier, weakest first."""

    models: Mapping[str, GuardedModel]

    @classmethod
    def of(cls, model: BaseChatModel) -> Tiers:
        """One model for whatever tier is asked for, guarded."""
        return cls({"": guard(model)})

    def model(self, tier: str, stronger: int = 0) -> GuardedModel:
        """The model of this tier, or of one that is so many steps stronger, as far as there are any."""
        models = self._from(tier)
        return models[min(stronger, len(models) - 1)]

    def _from(self, tier: str) -> list[GuardedModel]:
        """The model that does the work of this tier, and those that are stronger."""
        if "" in self.models:
            return [self.models[""]]
        names, tier = list(self.models), routed(tier)
        if tier not in names:
            remedy = f"Add it; there are: {', '.join(names)}."
            raise SettingsError("SIGNOFF_TIERS", f"has no tier {tier!r}, which an agent asks for", remedy)
        return list(self.models.values())[names.index(tier) :]

    def nearest(self, tier: str) -> str:
        """This tier if there is one; else the weakest instead of `fast`, and the strongest instead of any other."""
        names = list(self.models)
        return tier if tier in names or "" in names else names[0 if tier == "fast" else -1]

    def can_grow(self, tier: str, stronger: int = 0) -> bool:
        """Whether a stronger tier than that is left."""
        models = self._from(tier)
        return stronger + 1 < len(models) and models[stronger + 1] is not models[stronger]


def routed(tier: str, now: datetime | None = None) -> str:
    """The tier that does the work of this one, for whoever pays here, by the first rule of the settings that holds."""
    routes = load_settings().routes
    payer = current_payer() if routes else None
    if payer is None:
        return tier
    account, at, left = payer.account, now or datetime.now(UTC), cache(partial(_share_left, payer))
    for route in routes:
        if route.instead_of in ("", tier) and route.team in ("", account.team) and route.is_time(at):
            if route.tenant and route.tenant != account.ledger.tenant_of(account.run_id):
                continue
            if route.left_below is None or left() < route.left_below:
                return route.tier
    return tier


def _share_left(payer: Payer) -> float:
    """What is left of that of the budgets of which least is, as a share."""
    least = 1.0
    for scope in payer.scopes:
        standing = payer.ledger.budgets.standing(scope.name)
        used, raised = standing.spent + standing.held, standing.raised
        for unit, limit in scope.limit.limits:
            most = limit + raised[unit]
            least = min(least, 1 - used[unit] / most if most else 0.0)
    return least


def tiers_of(model: BaseChatModel | Tiers) -> Tiers:
    """What an agent was given as its model, as tiers; the same for the same model, as long as that is used."""
    if isinstance(model, Tiers):
        return model
    found = _made.get(id(model))
    if found is None or found[0]() is not model:
        _made[id(model)] = found = ref(model), Tiers.of(model)
        finalize(model, _made.pop, id(model), None)
    return found[1]


_made: dict[int, tuple[ref[BaseChatModel], Tiers]] = {}
