"""Buttons that decide one question in a notebook: they call what a program calls, and tell what came of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from signoff.checkpoints import read_once
from signoff.checkpoints.errors import AlreadyDecided, ChangedSince
from signoff.checkpoints.ledger import Approval, Person
from signoff.error_base import MissingExtra, SignoffError
from signoff.fleet.notebook import Show, words_html
from signoff.wording import as_words

_WIDE = "48em"
"""Of what texts are written in, which widgets have no room for."""


class Decides(Protocol):
    """A handle on a run that saw this question asked, and nothing else."""

    def approve(
        self, *, args: Mapping[str, Any] | None = ..., reason: str = ..., by: str | Person | None, drive: bool
    ) -> object: ...
    def reject(self, reason: str = ..., *, by: str | Person | None, drive: bool) -> object: ...
    def respond(self, message: str, *, by: str | Person | None, drive: bool) -> object: ...


Seen = Callable[[], Decides]
"""Gives such a handle anew, so that each click is about what the buttons show."""
Go = Callable[[Show], None]
"""Goes on with the run and shows it, once something was decided."""


def need_widgets() -> Any:
    """ipywidgets; MissingExtra, which says what to call instead."""
    try:
        import ipywidgets
    except ImportError as error:
        problem = 'needs ipywidgets, which is not installed; run.approve() and run.reject("why") decide without them'
        raise MissingExtra("Buttons", "notebook", problem) from error
    return ipywidgets


class DecisionBox:
    """The widgets of one question."""

    def __init__(self, asked: Approval, question: str, seen: Seen, go: Go, *, by: str | Person | None) -> None:
        self._widgets, self._asked, self._seen, self._go = need_widgets(), asked, seen, go
        self._how: dict[str, Any] = {"by": by, "drive": False}
        self._open: list[Any] = []
        self._decided = ""
        self._said = self._widgets.HTML()
        shown = [self._widgets.HTML(words_html(question)), *self._choices(), self._said]
        self.box = self._widgets.VBox(shown)

    def _choices(self) -> list[Any]:
        w, asked, seen = self._widgets, self._asked, self._seen
        reason = self._text(w.Text(placeholder="why", description="Reason"))
        if asked.ways:
            return [self._way(way.means, way.verb == "reject", dict(way.changes), reason) for way in asked.ways]
        reject = self._button(
            "Decline" if asked.is_question else "Reject", "danger", lambda: seen().reject(reason.value, **self._how)
        )
        if asked.is_question:
            answer = self._text(w.Textarea(description="Answer"), _WIDE)
            respond = self._button("Answer", "success", lambda: seen().respond(answer.value, **self._how))
            return [w.HBox([answer, respond]), w.HBox([reason, reject])]
        approve = self._button("Approve", "success", lambda: seen().approve(reason=reason.value, **self._how))
        shown = json.dumps(asked.shown, indent=2, ensure_ascii=False)
        args = self._text(w.Textarea(shown, description="Arguments", rows=6), _WIDE)
        edit = self._button("Approve as edited", "warning", lambda: self._edit(args.value, reason.value))
        return [w.HBox([approve, reason, reject]), w.HBox([args, edit])]

    def _way(self, means: str, rejects: bool, changes: dict[str, Any], reason: Any) -> Any:
        def answer() -> object:
            if rejects:
                return self._seen().reject(reason.value, **self._how)
            return self._seen().approve(args=changes or None, **self._how)

        button = self._button(means, "", answer)
        button.layout.width = "auto"
        return button

    def _edit(self, text: str, reason: str) -> object:
        args = read_once(text)
        if not isinstance(args, dict):
            raise ValueError("the arguments are an object, in braces")
        return self._seen().approve(args=args, reason=reason, **self._how)

    def _text(self, field: Any, width: str = "") -> Any:
        field.layout.width = width or None
        self._open.append(field)
        return field

    def _button(self, label: str, style: str, decide: Callable[[], object]) -> Any:
        button = self._widgets.Button(description=label, button_style=style)
        button.on_click(lambda _: self._clicked(label, decide))
        self._open.append(button)
        return button

    def _clicked(self, label: str, decide: Callable[[], object]) -> None:
        """Decide, then go on; whatever does not count is told, and what can be tried again stays open."""
        self._enable(False)
        try:
            decide()
        except (AlreadyDecided, ChangedSince) as late:
            return self._say(str(late))
        except (ValueError, RecursionError) as error:  # also of json
            self._enable(True)
            return self._say(f"This is no JSON that can be used: {error}. Nothing was decided.")
        except SignoffError as error:
            self._enable(True)
            return self._say(str(error))
        self._decided = words_html(f"**Decided: {as_words(label)}**")
        try:
            return self._go(self._show)
        except SignoffError as error:
            return self._say(str(error))

    def _enable(self, is_open: bool) -> None:
        for part in self._open:
            part.disabled = not is_open

    def _say(self, text: str) -> None:
        self._show(words_html(as_words(text)))

    def _show(self, shown: str) -> None:
        self._said.value = f"{self._decided}{shown}"
