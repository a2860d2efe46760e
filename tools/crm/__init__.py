"""CRMs: rows are written once, under a key of ours; each write says whether it created, updated or changed nothing."""

from signoff.exports import TYPE_CHECKING, offer

if TYPE_CHECKING:
    from signoff.tools.crm.connecting import UPSERT as UPSERT, Kind as Kind, open_crm as open_crm
    from signoff.tools.crm.http import HubSpot as HubSpot, SearchThenWrite as SearchThenWrite
    from signoff.tools.crm.row import CRM as CRM, Change as Change, Record as Record, Row as Row, Written as Written
    from signoff.tools.crm.row import property_of as property_of
    from signoff.tools.crm.sqlite import SqliteCrm as SqliteCrm
    from signoff.tools.crm.tools import CANCELLED as CANCELLED, SENT as SENT, AddressedRow as AddressedRow
    from signoff.tools.crm.tools import Send as Send, addressed_upsert as addressed_upsert
    from signoff.tools.crm.tools import names_suppressed as names_suppressed, sending as sending
    from signoff.tools.crm.tools import suppressed as suppressed, upsert_action as upsert_action
offer(__name__)
