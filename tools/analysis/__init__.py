"""Analysis: tables as a database, statistics and charts."""

from signoff.exports import TYPE_CHECKING, offer

if TYPE_CHECKING:
    from signoff.tools.analysis.charts import Chart as Chart, Charts as Charts, Labels as Labels
    from signoff.tools.analysis.charts import alternative as alternative, can_draw as can_draw, draw as draw
    from signoff.tools.analysis.plain_questions import Asked as Asked, read_question as read_question
    from signoff.tools.analysis.query import QueryLimits as QueryLimits, QueryResult as QueryResult
    from signoff.tools.analysis.statistics import describe as describe
    from signoff.tools.analysis.store import Table as Table
    from signoff.tools.analysis.tables import LoadLimits as LoadLimits, Tables as Tables, has_tables as has_tables
    from signoff.tools.analysis.tools import table_tools as table_tools
offer(__name__)
