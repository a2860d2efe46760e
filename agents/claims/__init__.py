"""Claims: what a sentence says, what of it its quotes do not bear out, and what two quotes say otherwise."""

from signoff.exports import TYPE_CHECKING, offer

if TYPE_CHECKING:
    from signoff.agents.claims.comparing import disagree as disagree, disagreements as disagreements
    from signoff.agents.claims.comparing import is_put_otherwise as is_put_otherwise, unsupported as unsupported
    from signoff.agents.claims.reading import language_of as language_of
offer(__name__)
