"""The databases: SQLite and PostgreSQL, their transactions, locks and forks."""

from signoff.exports import TYPE_CHECKING, offer

if TYPE_CHECKING:
    from signoff.checkpoints.db.postgres import PostgresAddress as PostgresAddress
    from signoff.checkpoints.db.sqlite import LEDGER_TABLE as LEDGER_TABLE, make_folder as make_folder
    from signoff.checkpoints.db.sqlite import refuse_foreign as refuse_foreign, tables_in as tables_in
    from signoff.checkpoints.db.url import is_address as is_address, scheme_of as scheme_of
offer(__name__)
