"""Which names say that their value is a secret: `api_key`, `dbPassword`, `X-Auth-Token`, but not `max_tokens`."""

from __future__ import annotations

import base64
import binascii
import re
from functools import lru_cache
from typing import Final, Literal

Cover = Literal["nothing", "texts", "everything"]
"""How much of what has a name is a secret; texts: not its numbers, as `tokens` are strings or a count of them."""

_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_LONGEST: Final = 200

_SECRET: Final = frozenset(
    "password passwords passwd pwd passphrase passcode passwort kennwort secret secrets apikey apikeys authorization "
    "credential credentials creds cookie cookies token jwt otp totp".split()
)
_ENDINGS: Final = (
    *("password", "passwd", "passphrase", "secret", "token", "apikey", "privatekey", "secretkey", "accesskey"),
    *("credentials", "cookie", "sessionid"),
)
_KEYS: Final = frozenset(
    "api private secret access signing signature encryption master auth session shared account storage ssh".split()
)
"""Before `key`."""
_OFTEN_TEXT: Final = {
    "tokens": None,
    "session": frozenset[str](),
    "auth": frozenset({"basic", "http", "proxy"}),
    "pass": frozenset("db user smtp mail ftp ssh admin root mysql pg postgres redis sudo login".split()),
}
"""Names of texts that are secrets, and what may stand before them; None: anything."""
_ABOUT: Final = frozenset(
    "count counts limit limits budget usage used length len size type types kind name names policy price prices cost "
    "costs rate per max min total expiry expires expire expired expiration ttl age required enabled present valid url "
    "uri path file dir store manager id ids index version format status strength rules env var ref window".split()
)
"""After a secret's name: it is something about it, not itself."""
_NO_SECRET_TOKEN: Final = frozenset(
    "max min num total input output prompt completion next page pagination continuation sync idempotency cancellation "
    "stop special pad eos bos unk per".split()
)


def covers(name: str) -> Cover:
    """How much of what has this name is a secret."""
    return _covers(name[-_LONGEST:])


@lru_cache(maxsize=4096)
def _covers(name: str) -> Cover:
    words = [word.lower() for word in _WORD.findall(name)]
    for place, word in enumerate(words):
        before, after = words[:place], words[place + 1 :]
        if word in _OFTEN_TEXT:
            allowed = _OFTEN_TEXT[word]
            if not after and (allowed is None or not before or (before[-1] in allowed)):
                return "texts"
        elif _is_secret(word, before) and not _ABOUT.intersection(after):
            return "everything"
    return "nothing"


def _is_secret(word: str, before: list[str]) -> bool:
    if word == "token":
        return not _NO_SECRET_TOKEN.intersection(before)
    if word in ("key", "keys", "id"):
        return bool(before) and (before[-1] in _KEYS if word != "id" else before[-1] == "session")
    return word in _SECRET or word.endswith(_ENDINGS)


REDACTED: Final = "[redacted]"

# None of these can fail after a long repetition that another start would repeat, or the time would be quadratic.
_PEM: Final = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    r".*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z)",
    re.DOTALL,
)
_JWT: Final = re.compile(r"eyJ[A-Za-z0-9_-]{5,}+(?:\.[A-Za-z0-9_-]*+)*+")
_PROVIDER: Final = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"sk-(?=[A-Za-z_-]{0,80}[0-9])[A-Za-z0-9_-]{16,}"
    r"|[sr]k_(?:live|test)_[A-Za-z0-9]{10,}"
    r"|gh[oprsu]_[A-Za-z0-9]{16,}"
    r"|github_pat_[A-Za-z0-9_]{16,}"
    r"|glpat-[A-Za-z0-9_-]{16,}"
    r"|xox[a-z]-[A-Za-z0-9-]{8,}"
    r"|xapp-[A-Za-z0-9-]{16,}"
    r"|A(?:KIA|SIA)[A-Z0-9]{12,}"
    r"|AIza[A-Za-z0-9_-]{20,}"
    r"|ya29\.[A-Za-z0-9_-]{16,}"
    r"|(?:hf|npm)_[A-Za-z0-9]{16,}"
    r"|pypi-[A-Za-z0-9_-]{40,}"
    r"|whsec_[A-Za-z0-9+/=_-]{16,}"
    r"|SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}"
    r")[A-Za-z0-9_-]*"
)
_SCHEME: Final = re.compile(r"\b(bearer|basic)([ \t]+)([A-Za-z0-9._~+/=-]{8,})", re.IGNORECASE)
_USERINFO: Final = re.compile(r'(:(?:\\?/){2}[^\s/:@"<>]*:)[^\s/"<>]+@')

_ASSIGNED: Final = re.compile(
    r"""(?<![\w.-])(?:([\w.-]++)\\*["']?[ \t]*+(=>|:=|[:=])[ \t]*+|(-{1,2}[A-Za-z][\w.-]*+)[ \t]++(?=[^\s-]))"""
)
_VALUE: Final = re.compile(
    r"""(?P<mark>\\+["'])(?P<escaped>(?:(?!(?P=mark))[^\r\n])*+)"""
    r"""|"(?P<double>(?:[^"\\\r\n]|\\.)*+)"""
    r"""|'(?P<single>(?:[^'\\\r\n]|\\.)*+)"""
    r"""|(?P<bare>[^\s;&"'<>]++)"""
)
_LINE: Final = re.compile(r"[^\r\n]*+")
_WORD_BEFORE: Final = re.compile(r"([A-Za-z]+)[ \t]\Z")
_NOTHING: Final = frozenset({"", *"null none nil true false undefined str string bytes secretstr".split()})
"""Values that are none, and the types of them in code."""


def hide_patterns(text: str) -> str:
    """The text with everything that looks like a secret replaced."""
    if "PRIVATE KEY" in text:
        text = _PEM.sub(REDACTED, text)
    if "eyJ" in text:
        text = _JWT.sub(lambda found: REDACTED if found[0].count(".") > 1 else found[0], text)
    text = _PROVIDER.sub(REDACTED, text)
    text = _SCHEME.sub(_hide_credentials, text)
    if "@" in text:
        text = _USERINFO.sub(rf"\1{REDACTED}@", text)
    return _hide_assigned(text)


def _hide_credentials(found: re.Match[str]) -> str:
    """`Bearer …` and `Basic …` of a header; not basic sentences, nor bearers of news."""
    scheme, gap, value = found.groups()
    if scheme.lower() == "bearer":
        secret = len(value) >= 20 or any(mark.isdigit() for mark in value)
    else:
        try:
            secret = b":" in base64.b64decode(value + "=" * (-len(value) % 4))
        except binascii.Error:
            secret = False
    return f"{scheme}{gap}{REDACTED}" if secret else found[0]


def _hide_assigned(text: str) -> str:
    """Hide what is assigned to a secret's name: `password=…`, `"api_key": "…"`, `Cookie: …`, `--token …`."""
    parts: list[str] = []
    done = place = 0
    while (found := _ASSIGNED.search(text, place)) is not None:
        place = found.end()
        name = found[1] or found[3]
        cover = covers(name)
        if name.lower() in ("key", "keys") and (
            word := _WORD_BEFORE.search(text, max(0, found.start() - 24), found.start())
        ):
            cover = covers(f"{word[1]} {name}")
        if cover == "nothing":
            continue
        start, end = _value(text, place, name, opened=text[max(0, found.start() - 1) : found.start()])
        if end > start and _is_worth_hiding(text[start:end], cover, quoted=start > place, sign=found[2] or "="):
            parts += (text[done:start], REDACTED)
            done = end
        place = max(place, end)
    return "".join((*parts, text[done:]))


def _value(text: str, place: int, name: str, *, opened: str) -> tuple[int, int]:
    """Where the value that begins here is, without its quotes. A header's is its line, a structure's too."""
    found = _VALUE.match(text, place)
    if found is None:
        return place, place
    kind = "escaped" if found["mark"] else str(found.lastgroup)
    if kind != "bare":
        return found.span(kind)
    is_header = name.lower().endswith(("authorization", "cookie", "cookies"))
    if is_header or (found[0][0] in "[{(" and not found[0].startswith(REDACTED)):
        line = _LINE.match(text, place)
        end = line.end() if line else found.end()
        if is_header and opened in ("'", '"'):
            quote = text.find(opened, place, end)
            end = quote if quote >= 0 else end
        return place, end
    return found.span()


def _is_worth_hiding(value: str, cover: Cover, *, quoted: bool, sign: str) -> bool:
    if value.strip(",.)}] ").lower() in _NOTHING:
        return False
    if cover == "everything":
        return True
    # A word such as `tokens` or `session` before a colon is as often prose, and `tokens=120` is a count.
    return (quoted or sign == "=") and not value.strip(",.)}] ").replace(",", "").replace(".", "").isdigit()
