"""What of a sentence its quotes do not bear out, and what quotes of two documents say otherwise of the same thing.

The file is longer than most because both rest on one comparison of two clauses.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import chain, combinations, groupby, product, takewhile
from typing import Final, NamedTuple

from signoff.agents.artifacts import Conflict, Quote
from signoff.agents.claims.reading import (
    DENYING,
    END,
    Clause,
    are_opposite,
    date_of,
    is_meant,
    is_negated,
    language_of,
    mean_alike,
    read,
    says,
    unit_of,
)
from signoff.agents.extractive.sentences import split
from signoff.agents.safety import find_orders

_ALIKE, _ALIKE_LONGER = 0.6, 0.5
"""Share of the shorter's and of the longer's words that two clauses about the same thing have in common."""
_COPIED, _MOVED = 0.75, 3
"""Share of a clause's other words that stand beside a word as they stand in a quote."""
_DIRECTIONS: Final = {"by", "from", "to"}
_WHICH: Final = {"in", "at", "of", "for"}
_NAMED_BEFORE: Final = {"this", "that", "these", "those"}
_ANSWERS = 0.5
"""Share of a question's words that a quote has if it answers it."""
_ANSWERING = 3
"""Quotes that may answer it: the first."""
_FEWEST = 2
"""Words that clauses about the same thing have in common."""
_MOST = 5
"""Disagreements that are told."""
_ASKING: Final = re.compile(r"\bhow (?:many|much|long|large|often|big|old|far|high|fast)\b|\?", re.IGNORECASE)
_NO_CLAIM: Final = re.compile(
    r"[|{}\\<>]|```|>>>|\S  +\S.*\S  +\S|://|::|\bcopyright|©|\([cC]\)|\blicen[cs]e|\b(?:for example|e\.g\.)"
    r"|^(?:th(?:is|ese|at|ose)|such)\b",
    re.IGNORECASE,
)
"""No prose, a line of a licence, an example, or a sentence whose subject stands before it."""
_ORDINAL: Final = re.compile(r"(?<=\d)\.(?= (?:Jan|Feb|Mär|Apr|Mai|Jun|Jul|Aug|Sep|Okt|Nov|Dez))")
"""Ends no sentence."""
_OR_ELSE: Final = re.compile(r"^(.*)\b(?:must|shall|has to|have to) (.*?)(?:, or|[;,] otherwise,?)(?: else)? (.*)$")
"""What must be done, and what is so if it is not."""
_ORDER: Final = re.compile(r"\b(before|after|bevor|nachdem)\b", re.IGNORECASE)


class _Difference(NamedTuple):
    """What one says, and another says otherwise."""

    kind: str
    """'denial', 'opposite', 'modality', 'figure', 'name' or 'roles'."""
    one: str
    other: str
    counted: str = ""
    """Of figures, what they count or measure."""

    @property
    def why(self) -> str:
        if self.kind == "denial":
            return "one says it, the other denies it"
        return f"“{self.one}” in one, “{self.other}” in the other"


# A sentence and the quotes that it cites


def unsupported(sentence: str, quotes: Sequence[Quote], about: str = "") -> list[str]:
    """What of a sentence the quotes that it cites do not bear out; its figures and names may also be of `about`."""
    parts = [" ".join(part.text.split()) for quote in quotes for part in split(_ORDINAL.sub("", quote.text))]
    parts += [told for part in parts if (told := _OR_ELSE.sub(r"If \1 not \2, \3", part)) != part]
    sentence = " ".join(_ORDINAL.sub("", sentence).split())
    if sentence in parts:
        return []
    held = [clause for part in parts if not find_orders(part) for clause in read(part)]
    around = " ".join([about, *(f"{quote.title} {quote.heading} {quote.source}" for quote in quotes)])
    everything = " ".join([around, *(quote.text for quote in quotes)]).casefold()
    language = language_of(sentence)
    found: list[str] = []
    for clause in read(sentence):
        found += _unknown_figures(clause, held, read(around))
        # Where every noun has a capital, capitals name nobody.
        unknown = _unknown_names(clause, held, everything) if language != "german" else ()
        found += [f"“{name}” stands nowhere in it" for name in unknown]
        found += _said_otherwise(clause, held, language)
    if language == "others":
        return list(dict.fromkeys(found))
    pieces = [piece for part in parts for piece in re.split(r"[;:]|, (?=and\b|but\b|so\b)", part)]
    turned = [_is_turned(sentence, piece) for piece in pieces]
    if not found and True in turned and False not in turned:
        found.append(f"it says “{pieces[turned.index(True)].strip()}”")
    return list(dict.fromkeys(found or _put_for_another(read(sentence), held)))


def _is_turned(sentence: str, quote: str) -> bool | None:
    """Whether what comes first in one comes last in the other; None if they do not speak of the same two things."""
    said = []
    for text in (sentence, quote):
        if len(parts := _ORDER.split(text)) != 3 or any(clause.denied for clause in read(text)):
            return None
        left, when, right = parts
        if not left.strip():
            right, _, left = right.partition(",")
        said.append([{word for clause in read(half) for word in clause.words} for half in (left, right)])
        said[-1] = said[-1][:: 1 if when.lower() in ("before", "bevor") else -1]
    (first, last), (early, late) = said
    straight, crossed = (bool(first & one) + bool(last & other) for one, other in ((early, late), (late, early)))
    return None if max(straight, crossed) < 2 or straight == crossed else crossed > straight


def _put_for_another(clauses: Sequence[Clause], held: Sequence[Clause]) -> Iterator[str]:
    """The words of a near copy where the quote has another that does not mean the same."""
    mine, there = (
        [word for _, part in groupby(by, lambda clause: clause.said) for word in _line(part)] for by in (clauses, held)
    )
    verbs = {word for clause in (*clauses, *held) for word in clause.verbs}
    for at, word in enumerate(mine[2:-1], 2):
        beside = {mine[at - 1], mine[at + 1]} if word != END else set()
        runs = {
            place: _run(mine, there, at, place)
            for place in range(1, len(there) - 1)
            if {there[place - 1], there[place + 1]} & beside
        }
        known = max((length for place, (length, _) in runs.items() if there[place] == word), default=0)
        for place, (length, share) in runs.items():
            other = there[place]
            is_left_out = says(word) and word in there[max(0, place - 3) : place + 4]
            is_named = there[place - 1] in _NAMED_BEFORE
            is_copy = (
                share >= _COPIED
                and length > max(not are_opposite(word, other), known)
                and not (is_left_out or is_named)
            )
            is_moved = says(other) and other in mine and not (word in there and length > _MOVED)
            if is_copy and not is_moved and _is_put_for(word, other, word in there, verbs):
                yield f"“{_shown(word, clauses)}”, where it says “{_shown(other, held)}”"
                return


def _line(clauses: Iterable[Clause]) -> Iterator[str]:
    """The line of a sentence, between two words that no other line has."""
    yield from ("", END, *(word for clause in clauses for word in clause.line[1:]))


def _run(mine: Sequence[str], there: Sequence[str], at: int, place: int) -> tuple[int, float]:
    """How many words beside a place are the same in both, and what share of its clause; 0 if it is no copy."""
    before, after = (
        [word for word, _ in takewhile(lambda both: is_meant(*both), zip(one, other, strict=False))]
        for one, other in ((mine[:at][::-1], there[:place][::-1]), (mine[at + 1 :], there[place + 1 :]))
    )
    words = [word for word in (*before, *after) if word != END]
    left, right = mine[:at][::-1].index(END), mine[at + 1 :].index(END)
    is_set_in = (before or not left) and (after or not right or there[place + 1] == END)
    telling = sum(says(word) or word.startswith("#") for word in words) if is_set_in else 0
    share = (min(left, len(before)) + min(right, len(after))) / max(1, left + right)
    return len(words), share if telling and not (len(words) >= 4 and telling >= 3) else min(
        telling, max(share, _COPIED)
    )


def _is_put_for(word: str, other: str, is_sure: bool, verbs: Collection[str]) -> bool:
    """Whether one word in the place of the other says something else."""
    if word.startswith("#") and other.startswith("#"):
        return word != other and (word.split(" ")[-1] == other.split(" ")[-1] or other[-1] == " ")
    if not says(word) or not says(other):
        return word != other and {word, other} <= _DIRECTIONS
    is_verb = word in verbs or other in verbs
    return are_opposite(word, other) or (not mean_alike(word, other) and (is_sure or not is_verb))


def _shown(word: str, clauses: Iterable[Clause]) -> str:
    figures = (figure.shown for clause in clauses for figure in clause.figures if word == figure.token)
    return next((clause.shown[word] for clause in clauses if word in clause.shown), next(figures, word))


def _unknown_figures(clause: Clause, held: Sequence[Clause], beside: Sequence[Clause]) -> Iterator[str]:
    known = [figure for part in (*held, *beside) for figure in part.figures]
    years = [figure.value[0] for figure in known if isinstance(figure.value, tuple) and figure.value[0]]
    # 'seconds to wait, at most 300'
    bare = [float(figure.written) for figure in known if isinstance(figure.value, str) and figure.written.isdigit()]
    units = [found for part in held for word in part.words if (found := unit_of(word))]
    measured = {(kind, number * factor) for number in bare for kind, factor in units}
    measured |= {("months", 12.0 * abs(one - other)) for one, other in combinations(years, 2)}
    for figure in clause.figures:
        nearest = sorted(held, key=lambda part: -len(_shared(clause, part)))
        like = [other.shown for part in nearest for other in part.figures if other.kind == figure.kind]
        is_told = figure.is_spelt and isinstance(figure.value, str)  # 'three of them'
        is_counted = (is_told and not figure.kind) or (not like and (figure.written == "1" or is_told))
        is_measured = (figure.kind, figure.value) in measured
        if not is_counted and not is_measured and not any(figure.is_borne_out(other) for other in known):
            yield f"“{figure.shown}”" + (f", where it says “{like[0]}”" if like else " stands nowhere in it")


def _unknown_names(clause: Clause, held: Sequence[Clause], everything: str) -> Iterator[str]:
    known = {word for part in held for word in part.words}
    for name in (word for word in clause.words if word in clause.names and word not in known):
        shown = clause.shown[name]
        parts = [part for part in re.split(r"[.()/:]+", shown.casefold()) if len(part) > 2] or [shown.casefold()]
        if parts[-1].removesuffix("s") not in everything:
            yield shown


def _said_otherwise(clause: Clause, held: Sequence[Clause], language: str) -> Iterator[str]:
    """What the clauses that have most of its words say otherwise, if none of them says the same."""
    covers = [len(_shared(clause, other)) for other in held]
    near = [other for other, cover in zip(held, covers, strict=True) if cover >= max(1, 0.8 * max(covers))]
    near = [other for other in near if {*clause.words} == {*other.words}] or near
    alike = [
        list(_differences(clause, other))
        for other in near
        if _is_about_the_same(clause, other) and not _is_excepted(clause, other) and not _is_excepted(other, clause)
    ]
    swapped = [list(_swapped(clause, other)) for other in near if language == "english"]
    for differences in (found for found in (alike, swapped) if found and all(found)):
        for difference in differences[0]:
            if difference.kind == "figure":
                yield f"“{difference.one}”, where it says “{difference.other}”"
            else:
                yield f"it says “{difference.other}”" if difference.kind == "denial" else difference.why


def _is_excepted(one: Clause, other: Clause) -> bool:
    """Whether the first speaks of the case that the second takes out with 'unless'."""
    cases = read(other.said.partition("unless")[2])[:1] if "unless" not in one.said else ()
    return any(_shared(case, part) for case in cases for part in read(one.said))


# Quotes of two documents


def disagreements(quotes: Sequence[Quote], question: str = "") -> tuple[Conflict, ...]:
    """Pairs of quotes of different documents that may disagree, few and rather too few than too many.

    Of the first, which answer the question, it is enough that they give other figures.
    """
    return _disagreements(tuple(quotes), question)


@lru_cache(maxsize=32)  # analyst, writer and reviewer ask of the same quotes
def _disagreements(quotes: Sequence[Quote], question: str) -> tuple[Conflict, ...]:
    asked = {word for clause in read(_ASKING.sub(" ", question)) for word in clause.words if not unit_of(word)}
    said = [{sentence: read(sentence) for sentence in _claims(quote)} for quote in quotes]
    answer = [_answers(quote, sentences.values(), asked) for quote, sentences in zip(quotes, said, strict=True)]
    found: list[Conflict] = []
    for (at, one), (place, other) in combinations(enumerate(quotes), 2):
        if one.source == other.source:
            continue
        mine = [clauses for sentence, clauses in said[at].items() if sentence not in said[place]]
        theirs = [clauses for sentence, clauses in said[place].items() if sentence not in said[at]]
        apart = [_sentences_apart(*both) for both in product(mine, theirs)]
        if place < _ANSWERING and answer[at] and answer[place]:
            apart += [_answers_apart(*both) for both in product(_answering(mine, asked), _answering(theirs, asked))]
        # What differs in more than one thing is about two things.
        if why := next((differences[0].why for differences in apart if len(differences) == 1), ""):
            found.append(Conflict(first=one.id, second=other.id, why=why + _later(one, other)))
    return tuple(found[:_MOST])


def disagree(first: int, second: int) -> str:
    """How a report says of two quotes that they do."""
    return f"[{first}] and [{second}] may disagree"


def _claims(quote: Quote) -> Iterator[str]:
    """The sentences of a quote that say something by themselves."""
    for part in split(quote.text) if quote.kind not in ("table", "code") else ():
        is_whole = len(re.findall(r"[^\W\d_]{2,}", part.text)) >= 4 and part.text[-1] in ".!?:)"
        if is_whole and not _NO_CLAIM.search(part.text):
            yield part.text


def _answers(quote: Quote, sentences: Iterable[Sequence[Clause]], asked: set[str]) -> bool:
    """Whether a quote has enough of the words of a question, with its heading and title."""
    around = read(f"{quote.heading.split(' › ')[-1]}. {quote.title}")
    words = {word for clause in chain(around, *sentences) for word in clause.words}
    return bool(asked) and len(asked & words) >= max(min(_FEWEST, len(asked) - 1), _ANSWERS * len(asked))


def _answering(sentences: Iterable[Sequence[Clause]], asked: set[str]) -> Iterator[Clause]:
    """The clauses that answer a question, and of each sentence that speaks of it one with all figures."""
    for clauses in sentences:
        if any(asked & {*clause.words} for clause in clauses):
            yield replace(clauses[0], figures=tuple(figure for clause in clauses for figure in clause.figures))
            least = max(_FEWEST, _ALIKE * len(asked))
            yield from (clause for clause in clauses if len(asked & {*clause.words}) >= least)


def _answers_apart(one: Clause, other: Clause) -> list[_Difference]:
    is_begun_and_ended = one.opposed and other.opposed and one.opposed.keys().isdisjoint(other.opposed)
    if is_begun_and_ended or _are_two(one, other):
        return []
    alike = _is_nearly_the_same(one, other)
    return [found for found in _differences(one, other) if alike or found.counted]


def _sentences_apart(one: Sequence[Clause], other: Sequence[Clause]) -> list[_Difference]:
    """What two sentences say otherwise that begin with the same, are about the same, and of the same case."""
    cases = [[clause for clause in by if clause.is_condition] for by in (one, other)]
    if all(cases) and not any(_is_about_the_same(*both) and not [*_differences(*both)] for both in product(*cases)):
        return []
    found: list[_Difference] = []
    for both in product(one, other):
        if {*both[0].words} == {*both[1].words} and (swapped := [*_swapped(*both)]):
            return swapped
        if _is_about_the_same(*both) and _begin_alike(*both) and not both[0].is_condition:
            found += _answers_apart(*both)
            found += _names_apart(*both) if len(one) == len(other) == 1 or len(_shared(*both)) > _FEWEST else ()
    return found


def _are_two(one: Clause, other: Clause) -> bool:
    """Whether both begin with a word of which each says another: a shift in the kitchen, and one at the door."""
    (first, mine), (second, theirs) = ((*by.words, "", "")[:2] for by in (one, other))
    is_told = {one.lead.get(mine), other.lead.get(theirs)} <= _WHICH
    return first == second and is_told and mine not in other.words and theirs not in one.words


def _begin_alike(one: Clause, other: Clause) -> bool:
    """Whether the same stands first in both; or elsewhere in the other, where nearly all the rest is the same."""
    if one.words[:1] == other.words[:1]:
        return True
    shared = _shared(one, other)
    is_copy = len(shared) >= max(_FEWEST + 1, _COPIED * max(len({*one.words}), len({*other.words})))
    return is_copy and one.words[0] in shared and other.words[0] in one.words


def _names_apart(one: Clause, other: Clause) -> Iterator[_Difference]:
    """A name in the place of another, where nearly all the rest is the same."""
    first, second = (
        [word for word in by.words if word in by.names and by.shown[word] not in to.said]
        for by, to in ((one, other), (other, one))
    )
    rest = {*one.words, *other.words} - {*first, *second}
    if first and second and len(rest & _shared(one, other)) >= 0.75 * len(rest):
        names = one.shown[first[0]], other.shown[second[0]]
        if all(name.replace("'", "").isalpha() for name in names):
            yield _Difference("name", *names)


def _later(one: Quote, other: Quote) -> str:
    """Which of the two is later, if their titles, headings or names tell."""
    first, second = (date_of(quote.title, quote.heading, quote.source) for quote in (one, other))
    if first and second and first[: len(second)] != second[: len(first)]:
        later, date = ("first", first) if first > second else ("second", second)
        return f"; the {later} is of {date}, and later"
    return ""


def is_put_otherwise(one: str, other: str) -> bool:
    """Whether of two sentences in nearly the same words one does not bear the other out."""
    first, second = (Quote(id=1, source="", start=0, text=text) for text in (one, other))
    return bool(unsupported(one, (second,)) or unsupported(other, (first,)))


# Two clauses


def _is_about_the_same(one: Clause, other: Clause) -> bool:
    """Whether they have most words in common; names that the other does not have do not count."""
    shared = len(_shared(one, other))
    first, second = (
        sum(word not in by.names or bool(_counterpart(word, to)) for word in set(by.words))
        for by, to in ((one, other), (other, one))
    )
    longer = max(first, second)
    return shared >= max(1, min(_FEWEST, longer), _ALIKE * min(first, second), _ALIKE_LONGER * longer)


def _is_nearly_the_same(one: Clause, other: Clause) -> bool:
    return len(_shared(one, other)) >= _ALIKE * max(len({*one.words}), len({*other.words}))


def _shared(one: Clause, other: Clause) -> set[str]:
    return {word for word in one.words if _counterpart(word, other)}


def _counterpart(word: str, other: Clause) -> str:
    """The same word in another clause, or one that it denies or is denied by: 'encrypted' of 'unencrypted'."""
    if word in other.words:
        return word
    for prefix in DENYING:
        for found in (word.removeprefix(prefix), prefix + word):
            if found != word and len(found) > 3 and found in other.words:
                return found
    return ""


def _differences(one: Clause, other: Clause) -> Iterator[_Difference]:
    """What the two say otherwise, if they are about the same thing."""
    turned = [word for word in one.opposed if {one.opposed[word], other.opposed.get(word)} == {0, 1}]
    prefixed = [word for word in one.words if _counterpart(word, other) not in ("", word)]
    put_negatively = any(
        by.opposed[word] == 1 and word not in to.opposed and to.denied and is_negated(word)
        for by, to in ((one, other), (other, one))
        for word in by.opposed
    )
    if (one.denied + other.denied + len(turned) + len(prefixed)) % 2 and not put_negatively:
        if turned and all(_stands_alike(word, one, other) for word in turned):
            yield _Difference("opposite", one.shown[turned[0]], other.shown[turned[0]])
        elif not turned and (prefixed or _denies(one, other) or _denies(other, one)):
            yield _Difference("denial", one.said, other.said)
    elif _ask_alike(one, other):
        first, second = {*one.modal.split()}, {*other.modal.split()}
        if first - second and second - first:
            yield _Difference("modality", min(first - second), min(second - first))
    if len(turned) < _FEWEST:  # or they are about two things: what rose in the north, and fell in the south
        yield from _figures_apart(one, other)


def _ask_alike(one: Clause, other: Clause) -> bool:
    """Whether the same must, should or may be done; not if each asks something that the other says without asking."""
    if not one.asked or not other.asked or _counterpart(one.asked, other) == other.asked:
        return True
    return mean_alike(one.asked, other.asked)


def _denies(one: Clause, other: Clause) -> bool:
    """Whether one denies a word that the other says and does not deny."""
    undone = one.undone or (one.words if one.forbids and not other.undone else ())
    return any((said := _counterpart(word, other)) and said not in other.undone for word in undone)


def _stands_alike(word: str, one: Clause, other: Clause) -> bool:
    """Whether the same word follows it in both: 'A before B' is 'B after A'."""
    follows = [
        next((word_ for word_ in by.words[by.words.index(word) + 1 :] if word_ in to.words), "")
        for by, to in ((one, other), (other, one))
    ]
    return follows[0] == follows[1]


def _figures_apart(one: Clause, other: Clause) -> Iterator[_Difference]:
    """Figures of one kind that both have, where neither has all of the other's."""
    for kind in dict.fromkeys(figure.kind for figure in one.figures):
        first, second = (
            [figure for figure in by.figures if figure.kind == kind and not (figure.is_spelt and figure.written == "1")]
            for by in (one, other)
        )
        lacking, extra = (
            [figure for figure in these if not any(figure.is_borne_out(by) or by.is_borne_out(figure) for by in those)]
            for these, those in ((first, second), (second, first))
        )
        if lacking and extra:
            yield _Difference("figure", lacking[0].shown, extra[0].shown, kind)


def _swapped(one: Clause, other: Clause) -> Iterator[_Difference]:
    """Who does in one what is done to them in the other."""
    if any(other.opposed.get(word, side) != side for word, side in one.opposed.items()):
        return  # 'A before B', 'B after A'
    here, there = _deeds(one), _deeds(other)
    for agent, verb, patient, lead in here:
        if (patient, verb, agent, lead) in there - here:
            does = f"{one.shown[agent]} {one.shown[verb]} {one.shown[patient]}"
            yield _Difference("roles", does, f"{other.shown[patient]} {other.shown[verb]} {other.shown[agent]}")
            return


def _deeds(clause: Clause) -> set[tuple[str, str, str, str]]:
    """Who may do what to whom, by the order of words: agent, verb, patient, and the preposition before the patient."""
    found: set[tuple[str, str, str, str]] = set()
    twice = {word for word in clause.words if clause.words.count(word) > 1}
    for place, verb in enumerate(clause.words[1:], 1):
        after, lead = [], ""
        for word in clause.words[place + 1 :]:
            lead = clause.lead.get(word, "").replace("be", "") or lead
            after.append((word, lead))
        before = clause.words[place - 1]
        if clause.lead.get(verb) == "be":
            agent = next((word for word, by in after if by == "by"), "")
            found |= {(agent, verb, word, by) for word, by in ((before, ""), *after) if agent and by != "by"}
        else:
            found |= {(before, verb, word, by) for word, by in after}
    return {deed for deed in found if len({*deed[:3]}) == 3 and not {*deed} & (clause.opposed.keys() | twice)}
