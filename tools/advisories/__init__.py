"""Advisories: who is affected by known vulnerabilities, and the versions and wheels of packages that are not."""

from signoff.exports import TYPE_CHECKING, offer

if TYPE_CHECKING:
    from signoff.tools.advisories.environments import make_environment as make_environment
    from signoff.tools.advisories.judge import NONE as NONE, audit as audit, disagreements as disagreements
    from signoff.tools.advisories.judge import find_judge as find_judge
    from signoff.tools.advisories.manifests import Manifest as Manifest, Pin as Pin, changed as changed
    from signoff.tools.advisories.manifests import name_of as name_of
    from signoff.tools.advisories.manifests import read_manifests as read_manifests
    from signoff.tools.advisories.osv_server import OSV as OSV, ask as ask, serving as serving
    from signoff.tools.advisories.records import AdvisorySet as AdvisorySet, Finding as Finding, open_set as open_set
    from signoff.tools.advisories.severity import in_words as in_words
    from signoff.tools.advisories.wheels import Lock as Lock, Wheel as Wheel, Wheelhouse as Wheelhouse
offer(__name__)
