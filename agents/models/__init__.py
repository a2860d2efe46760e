"""What stands around every model call: settings, budgets, rates, retries, stand-ins, prices."""

from signoff.exports import TYPE_CHECKING, offer

if TYPE_CHECKING:
    from signoff.agents.models.local import WEIGHTS as WEIGHTS, Watch as Watch, Weights as Weights
    from signoff.agents.models.local import fetch_weights as fetch_weights, is_fetched as is_fetched, is_gguf as is_gguf
    from signoff.agents.models.local import weights_path as weights_path
    from signoff.agents.models.registry import OFFLINE as OFFLINE, Tiers as Tiers, choose_model as choose_model
    from signoff.agents.models.registry import load_models as load_models, models_of as models_of
    from signoff.agents.models.registry import tiers_of as tiers_of
    from signoff.agents.models.settings import CallSettings as CallSettings
    from signoff.agents.models.unguarded import UnguardedCalls as UnguardedCalls, charging as charging
offer(__name__)
