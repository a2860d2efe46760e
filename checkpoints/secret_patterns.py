"""Which names say that their value is a secret: `api_key`, `dbPassword`, `X-Auth-Token`, but not `max_tokens`."""

from __future__ import annotations

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
