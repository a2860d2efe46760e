"""What guards a prompt: private data, injected orders, hidden text, and where a text came from."""

from signoff.exports import TYPE_CHECKING, offer

if TYPE_CHECKING:
    from signoff.agents.safety.destinations import addresses_of as addresses_of, look_alikes as look_alikes
    from signoff.agents.safety.injection import (
        find_orders as find_orders,
        flags_of as flags_of,
        strings_in as strings_in,
    )
    from signoff.agents.safety.provenance import Origins as Origins
offer(__name__)
