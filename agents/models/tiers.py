"""Tiers: models by strength, so that an agent names what it needs and the settings say which model that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import finalize, ref

from signoff.errors import SettingsError

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from signoff.agents.models.guarded import GuardedModel


@dataclass(frozen=True)
class Tiers:
    """Guarded models by the name of their tier, weakest first."""

    models: Mapping[str, GuardedModel]

    @classmethod
    def of(cls, model: BaseChatModel) -> Tiers:
        """One model for whatever tier is asked for, guarded."""
        from signoff.agents.models.guarded import guard

        return cls({"": guard(model)})

    def model(self, tier: str, stronger: int = 0) -> GuardedModel:
        """The model of this tier, or of one that is so many steps stronger, as far as there are any."""
        if "" in self.models:
            return self.models[""]
        names = list(self.models)
        if tier not in names:
            known = ", ".join(names)
            raise SettingsError(
                "SIGNOFF_TIERS", f"has no tier {tier!r}, which an agent asks for", f"Add it; there are: {known}."
            )
        return self.models[names[min(names.index(tier) + stronger, len(names) - 1)]]

    def nearest(self, tier: str) -> str:
        """This tier if there is one; else the weakest instead of `fast`, and the strongest instead of any other."""
        names = list(self.models)
        return tier if tier in names or "" in names else names[0 if tier == "fast" else -1]

    def can_grow(self, tier: str, stronger: int = 0) -> bool:
        """Whether a stronger tier than that is left."""
        return self.model(tier, stronger + 1) is not self.model(tier, stronger)


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
