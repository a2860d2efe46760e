"""A folder of documents, indexed and searched."""

from signoff.exports import TYPE_CHECKING, offer

if TYPE_CHECKING:
    from signoff.tools.search.embeddings import MiniLM as MiniLM
    from signoff.tools.search.library import Library as Library, SourcesAndPages as SourcesAndPages
    from signoff.tools.search.passage import Passage as Passage
    from signoff.tools.search.sources import IndexProgress as IndexProgress, Sources as Sources
    from signoff.tools.search.tools import search_tools as search_tools
offer(__name__)
