"""A folder of documents, indexed and searched."""

from signoff.exports import TYPE_CHECKING, offer

if TYPE_CHECKING:
    from signoff.tools.search.embeddings import MiniLM as MiniLM
    from signoff.tools.search.folder import Skipped as Skipped
    from signoff.tools.search.library import Library as Library, SourcesAndPages as SourcesAndPages
    from signoff.tools.search.passage import Passage as Passage, may_answer as may_answer
    from signoff.tools.search.ranking import STOP_WORDS as STOP_WORDS, order as order, other_words as other_words
    from signoff.tools.search.ranking import share as share, weigh as weigh, words_in as words_in, words_of as words_of
    from signoff.tools.search.sources import IndexProgress as IndexProgress, Sources as Sources
    from signoff.tools.search.tools import search_tools as search_tools, short_names as short_names, show as show
    from signoff.tools.search.tools import whole_name as whole_name
offer(__name__)
