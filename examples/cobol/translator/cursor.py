"""Walking through the tokens of a program."""

from __future__ import annotations

from collections.abc import Sequence

from examples.cobol.translator.source import Token, refuse

END = Token("end", "", 0)


class Cursor:
    """Where the reading of a program has come to."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self.tokens, self.at = tokens, 0

    @property
    def token(self) -> Token:
        return self.ahead(0)

    def ahead(self, count: int) -> Token:
        """A token further on; an end without text where there is none."""
        return self.tokens[self.at + count] if self.at + count < len(self.tokens) else END

    @property
    def line(self) -> int:
        return self.token.line or (self.tokens[-1].line if self.tokens else 0)

    @property
    def done(self) -> bool:
        return self.at >= len(self.tokens)

    def next(self) -> Token:
        token = self.token
        self.at += 1
        return token

    def sees(self, *words: str) -> bool:
        """Whether one of these words or signs is next."""
        return self.token.kind in ("word", "sign", "end") and self.token.text in words

    def sees_all(self, *words: str) -> bool:
        """Whether these words are next, one after the other."""
        ahead = [self.ahead(count) for count in range(len(words))]
        return all(
            token.kind in ("word", "sign") and token.text == word for token, word in zip(ahead, words, strict=True)
        )

    def take(self, *words: str) -> bool:
        """Go past one of these words if it is next."""
        if found := self.sees(*words):
            self.at += 1
        return found

    def take_all(self, *words: str) -> bool:
        if found := self.sees_all(*words):
            self.at += len(words)
        return found

    def need(self, *words: str) -> Token:
        """Go past one of these words; refused where another stands."""
        if not self.sees(*words):
            refuse(f"{self.token.text or 'the end'!r} where {' or '.join(words)} is expected", self.line)
        return self.next()

    def word(self) -> Token:
        """Go past a word."""
        if self.token.kind != "word":
            refuse(f"{self.token.text!r} where a name is expected", self.line)
        return self.next()
