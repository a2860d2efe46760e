"""CRMs: rows are written once, under a key of ours; each write says whether it created, updated or changed nothing."""

from signoff.exports import TYPE_CHECKING, offer

if TYPE_CHECKING:
    from signoff.tools.crm.connecting import open_crm as open_crm
    from signoff.tools.crm.http import HubSpot as HubSpot, SearchThenWrite as SearchThenWrite
    from signoff.tools.crm.row import CRM as CRM, Change as Change, Record as Record, Row as Row, Written as Written
    from signoff.tools.crm.sqlite import SqliteCrm as SqliteCrm
    from signoff.tools.crm.tools import UPSERT as UPSERT, upsert_action as upsert_action
offer(__name__)
