"""Words: how text is cut into them, which carry meaning, and when two of them are the same word."""

from __future__ import annotations

import re
from functools import lru_cache

_TOKEN = re.compile(
    r"\d+(?:[.,:]\d+)+|[cC]\+\+|[cCfF]#"
    r"|(?P<ideographs>[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+)"
    r"|(?:(?![\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff])[^\W_])+(?:['’](?:s|t|re|ve|ll|d|m)\b)?"
)
_IDEOGRAPH = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_CONTRACTION = re.compile(r"['’](?:s|re|ve|ll|d|m)$")

STOP_WORDS = frozenset(
    "a about above across actually after again against all almost alone along already also although always am among "
    "an and another any anybody anyone anything are aren't around as at away back be became because become been "
    "before behind being below best better between both but by came can can't cannot come could couldn't did didn't "
    "do does doesn't doing don't done down during each either else enough even ever every everyone everything exactly "
    "few first for from further get gets getting give given gives go goes going got had has hasn't have haven't "
    "having he her here hers him his how however i if in instead into is isn't it itself just keep know last least "
    "less let like likely made main make makes making many may maybe me might more most mostly much must my myself "
    "near need needs neither never next no nobody non none nor not nothing now of off often on once one only onto or "
    "other others ought our ours out over own per perhaps please put quite rather really said same say says see seem "
    "seems shall she should shouldn't since so some somebody someone something still such sure take than that the "
    "their theirs them themselves then there therefore these they thing things this those though through thus to "
    "together too toward towards under until up upon us very via want wants was wasn't way ways we well were weren't "
    "what when where whether which while who whole whom whose why will with within without won't would wouldn't yes "
    "yet you your yours".split()
)
"""Words too common to tell one text from another."""

_WEAK = frozenset(
    "accept achieve add allow apply approach available become begin bring call cause certain change choose common "
    "consider contain create current currently decide define describe design different do easy enable end ensure exist "
    "explain feature find follow general get good handle happen help important improve include intend introduce "
    "involve kind let look make mean new number offer old part perform place possible propose provide purpose "
    "recommend replace require several show solve specific start state stop suggest tell time try turn type use "
    "useful various work write".split()
)
_IRREGULAR = dict(
    pair.split(":")
    for pair in (
        "began:begin begun:begin bought:buy broke:break broken:break brought:bring built:build caught:catch "
        "chose:choose chosen:choose drew:draw drawn:draw fell:fall fallen:fall felt:feel found:find fought:fight "
        "grew:grow grown:grow held:hold kept:keep knew:know known:know laid:lay led:lead left:leave lost:lose "
        "meant:mean met:meet paid:pay ran:run sent:send shown:show sold:sell spent:spend spoke:speak spoken:speak "
        "stood:stand taken:take took:take taught:teach thought:think threw:throw thrown:throw told:tell "
        "understood:understand went:go won:win wore:wear written:write wrote:write men:man women:woman people:person "
        "children:child feet:foot mice:mouse indices:index matrices:matrix vertices:vertex criteria:criterion "
        "phenomena:phenomenon decision:decide addition:add analysis:analyse analyses:analyse choice:choose "
        "proof:prove cheaper:cheap faster:fast slower:slow"
    ).split()
)
_SHORT = dict(
    pair.split(":")
    for pair in (
        "async:asynchronous sync:synchronous config:configuration admin:administrator repo:repository "
        "repos:repository param:parameter params:parameter func:function env:environment app:application "
        "apps:application db:database docs:documentation spec:specification specs:specification info:information "
        "lib:library libs:library dict:dictionary dicts:dictionary int:integer ints:integer bool:boolean "
        "perf:performance temp:temporary max:maximum min:minimum approx:approximately dev:development prod:production "
        "deps:dependency"
    ).split()
)
_BASE = _IRREGULAR | _SHORT
_SUFFIXES = (
    "ization isation ational ibility ability ically ation ition ement ively ately ency ancy enance able ible ance "
    "ence ment ness ally ical less ship ator ity ize ise yse ist ism ion ive ful ant ent ate ly al er or ic y e"
).split()
_KEPT_APART = frozenset(
    "important importance importantly generic general generally person capital university constant instance version "
    "number letter order integer matter better former server paper later never rather multiple".split()
)
_VOWEL_GROUP = re.compile(r"[aeiouy]+[^aeiouy]+")
_HAS_VOWEL = re.compile(r"[aeiouy]")
_SHORT_END = re.compile(r"[^aeiou][aeiouy][^aeiouywx]$")


def counted(number: int, thing: str) -> str:
    """A number of things: '1 quote', '2 quotes'."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def tokens(text: str) -> list[str]:
    """The words of a text in small letters and in order; runs of ideographs become pairs of neighbours."""
    found: list[str] = []
    for match in _TOKEN.finditer(text):
        word = match.group()
        if match["ideographs"]:
            found += [word[i : i + 2] for i in range(max(1, len(word) - 1))]
        else:
            found.append(_CONTRACTION.sub("", word.lower()).replace("’", "'"))
    return found


def content(text: str) -> list[str]:
    """The words that carry meaning, in order."""
    return [word for word in tokens(text) if carries_meaning(word)]


def carries_meaning(word: str) -> bool:
    """True unless it is a stop word or a lone letter that is not a name of its own."""
    return word not in STOP_WORDS and (len(word) > 1 or word.isdigit() or not word.isascii())


def is_ideographic(word: str) -> bool:
    """True for a pair of ideographs: an index that cuts words at blanks cannot tell whether it has them."""
    return bool(_IDEOGRAPH.match(word))


def is_weak(word: str) -> bool:
    """True for words that say little about the subject: 'use', 'add', 'work'."""
    return stem(word) in _WEAK_STEMS


def other_forms(word: str) -> tuple[str, ...]:
    """Words that are the same as this one and look different: 'chosen' for 'chose', 'asynchronous' for 'async'."""
    base = _BASE.get(word, word)
    forms = [base, *(form for form, of in _BASE.items() if of == base)]
    return tuple(form for form in forms if form != word)


@lru_cache(maxsize=1 << 16)
def stem(word: str) -> str:
    """The word without its inflection: 'groups', 'grouped' and 'grouping' are one, 'group'."""
    word = _uninflected(word)
    if len(word) > 3 and word.isascii() and word.endswith("y") and word[-2] not in "aeiou":
        return word[:-1] + "i"
    return _without_e(word)


@lru_cache(maxsize=1 << 16)
def root(word: str) -> str:
    """What the words of one family share: 'reject' for 'rejection', 'compil' for 'compiler' and 'compilation'."""
    base = _uninflected(word)
    if base in _KEPT_APART or not (base.isascii() and base.isalpha()):
        return stem(word)
    base = re.sub("uction$", "uce", re.sub(r"^(?:sub|multi)(?=[a-z]{6})", "", base))
    suffix: str | None = ""
    while suffix is not None:
        base = base.removesuffix(suffix)
        suffix = next((s for s in _SUFFIXES if base.endswith(s) and len(base) - len(s) >= 4), None)
    return base


def _uninflected(word: str) -> str:
    """The word in singular or infinitive, as far as its ending tells."""
    word = _BASE.get(word, word)
    if len(word) < 4 or not (word.isascii() and word.isalpha()):
        return word
    word = _without_plural(word)
    for ending in ("ing", "ed"):
        rest = word.removesuffix(ending)
        if rest != word and not word.endswith("eed") and len(rest) > 1 and _HAS_VOWEL.search(rest):
            return _restored(rest)
    return word


def _without_plural(word: str) -> str:
    if word.endswith("sses"):
        return word[:-2]
    if word.endswith("ies"):
        return word[:-3] + "y" if len(word) > 4 else word[:-1]
    if word.endswith(("xes", "ches", "shes", "zzes")):
        return word[:-2]
    return word if word.endswith(("ss", "us", "is")) or not word.endswith("s") else word[:-1]


def _restored(rest: str) -> str:
    """Undoes what an ending did to the word: 'runn' is 'run', 'cod' is 'code'."""
    if len(rest) == 2 or rest.endswith(("at", "bl", "iz", "is", "uc", "dg")):
        return rest + "e"
    if rest[-1] == rest[-2] and rest[-1] not in "aeiouylsz" and len(rest) > 3:
        return rest[:-1]
    if len(_VOWEL_GROUP.findall(rest)) == 1 and _SHORT_END.search(rest):
        return rest + "e"
    return rest


def _without_e(word: str) -> str:
    rest = word[:-1]
    if not word.endswith("e") or len(word) < 4:
        return word
    groups = len(_VOWEL_GROUP.findall(rest))
    return rest if groups > 1 or (groups == 1 and not _SHORT_END.search(rest)) else word


_WEAK_STEMS = frozenset(stem(word) for word in _WEAK)
