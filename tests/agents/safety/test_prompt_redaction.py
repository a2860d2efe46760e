"""Secrets and private data do not leave with a prompt; private data comes back with the answer, secrets do not."""

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from signoff.agents.safety.pii import KINDS, find_private
from signoff.agents.safety.prompt_redaction import PromptRedaction

KEY = "sk-proj-Ab12Cd34Ef56Gh78Ij90"
ALL = PromptRedaction(pii=KINDS)
PRIVATE = {
    "email": ["ann@example.com", "jürgen.o'neil+x@müller-bau.co.uk", "a_b%c@mail.example.org"],
    "credit_card": ["4111 1111 1111 1111", "5500-0000-0000-0004", "378282246310005", "3782 822463 10005"],
    "iban": ["DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432"],
    "phone": ["+49 30 1234567", "+1 (212) 555-0123", "+44 20 7946 0958", "(212) 555-0123", "212-555-0123"],
    "ssn": ["536-90-4399"],
    "mac": ["00:1A:2B:3C:4D:5E", "00-1a-2b-3c-4d-5e"],
    "ip": ["203.0.113.77", "10.20.30.40", "8.8.8.8", "2001:db8::8a2e:370:7334", "fe80::1ff:fe23:4567:890a"],
}
ORDINARY = [
    "Upgrade from 1.2.3.4 to 120.0.6099.109; see section 10.2.1.12 and release 3.11.20.4.",
    "It begins in 2019::\n\n  and ends at 10.20.30.4000, 123456-12-1234, 000-12-1234, 666-12-1234.",
    "It listens on 127.0.0.1 and ::1, mask 255.255.255.0; std::vector, dead::end, 12:30:45.",
    "order 4111111111111112, id 1234567890123456, trace 17345678901234567, 2026-11-22 10:20:30",
    "Revenue grew by +12 000 000 (+20 %), from 1,234,567.89 to 9 876 543; +1 for the team, +10000000000 %.",
    "git@github.com:example/project.git, @app.get, user@host, pkg@1.2.3, part no. 123-45-678, AB12 3456",
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 3f81c2d4-e5f6-4711-9abc-0123456789ab",
]


def hidden_text(text: str, redaction: PromptRedaction = ALL) -> str:
    return str(redaction.hide([HumanMessage(text)]).messages[0].content)


def everything(messages: list[BaseMessage]) -> str:
    return json.dumps([message.model_dump(mode="json") for message in messages], ensure_ascii=False)


@pytest.mark.parametrize(("kind", "value"), [(kind, value) for kind, values in PRIVATE.items() for value in values])
def test_private_data_of_each_kind_is_hidden_wherever_it_stands(kind: str, value: str) -> None:
    for frame in ("{}", "Ask {}.", "({})", "“{}”", "a: {}, b", "x\n{}\ny", '{{"who": "{}"}}', "<{}>"):
        hidden = PromptRedaction(pii=frozenset({kind})).hide([HumanMessage(frame.format(value))])
        assert hidden.messages[0].content == frame.format(f"[{kind.upper()}_1]")
        assert hidden.found == {kind: 1}
        assert hidden_text(frame.format(value)) == frame.format(f"[{kind.upper()}_1]")


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_numbers_and_names_are_not_private(text: str) -> None:
    assert hidden_text(text) == text


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("12 4111 1111 1111 1111 12/27 123", "12 [CREDIT_CARD_1] 12/27 123"),
        ("ES91 2100 0418 4502 0005 1332 2026 CODE", "[IBAN_1] 2026 CODE"),
        ("+49 30 1234567 1234 5678 9012", "[PHONE_1] 5678 9012"),
    ],
)
def test_numbers_beside_a_number_do_not_hide_it(text: str, left: str) -> None:
    assert hidden_text(text) == left


def test_only_the_kinds_asked_for_are_hidden() -> None:
    text = f"ann@example.com at 203.0.113.77 with {KEY}"
    assert hidden_text(text, PromptRedaction()) == "ann@example.com at 203.0.113.77 with [redacted]"
    assert (
        hidden_text(text, PromptRedaction(secrets=False, pii=frozenset({"ip"})))
        == f"ann@example.com at [IP_1] with {KEY}"
    )
    assert hidden_text(text, PromptRedaction(secrets=False)) == text


def test_the_same_value_has_the_same_placeholder_in_all_messages() -> None:
    hidden = ALL.hide([SystemMessage("ann@example.com"), HumanMessage("bob@example.com, ann@example.com")])
    assert [message.content for message in hidden.messages] == ["[EMAIL_1]", "[EMAIL_2], [EMAIL_1]"]
    assert hidden.found == {"email": 3}


def test_a_prompt_that_grows_keeps_its_beginning() -> None:
    short = [SystemMessage("ann@example.com"), HumanMessage("bob@example.com")]
    longer = [*short, HumanMessage("aaa@example.com and ann@example.com")]
    assert ALL.hide(longer).messages[:2] == ALL.hide(short).messages


def test_every_part_of_a_message_that_leaves_is_hidden_and_the_originals_stay() -> None:
    secret, mail = KEY, "ann@example.com"
    args = {"to": [mail], "deep": {"note": f"{mail} {secret}"}, "password": "hunter2", mail: 1}
    messages: list[BaseMessage] = [
        SystemMessage(f"{mail} {secret}"),
        HumanMessage([{"type": "text", "text": f"{mail} {secret}"}, f"{mail} {secret}"]),
        AIMessage(
            [{"type": "tool_use", "id": "call_1", "name": "send", "input": args}],
            tool_calls=[{"name": "send", "args": args, "id": "call_1", "type": "tool_call"}],
            invalid_tool_calls=[
                {"name": "x", "args": f'{{"to": "{mail}"', "id": "2", "error": None, "type": "invalid_tool_call"}
            ],
            additional_kwargs={"tool_calls": [{"id": "call_1", "function": {"arguments": json.dumps(args)}}]},
        ),
        ToolMessage(f'{{"found": "{mail}", "api_key": "hunter2"}}', tool_call_id="call_1"),
    ]
    before = everything(messages)
    left = everything(ALL.hide(messages).messages)
    for gone in (mail, secret, "hunter2"):
        assert gone in before
        assert gone not in left
    assert left.count("call_1") == before.count("call_1")
    assert everything(messages) == before


def test_media_and_what_a_provider_signed_are_left_alone() -> None:
    blocks: list[str | dict[Any, Any]] = [
        {"type": "image", "base64": "+49301234567" * 5, "mime_type": "image/png"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,+49301234567/+49301234567"}},
        {"type": "thinking", "thinking": "ann@example.com", "signature": "+49 30 1234567"},
    ]
    [message] = ALL.hide([HumanMessage(blocks)]).messages
    assert message.content == [*blocks[:2], {**blocks[2], "thinking": "[EMAIL_1]"}]  # type: ignore[dict-item]  # a dict


def test_a_message_without_anything_to_hide_is_used_itself() -> None:
    message = HumanMessage("nothing here")
    assert ALL.hide([message]).messages[0] is message


def test_private_data_comes_back_in_text_blocks_and_tool_calls() -> None:
    hidden = ALL.hide([HumanMessage("ann@example.com, +49 30 1234567")])
    answer = hidden.restore(
        AIMessage(
            [{"type": "text", "text": "to [EMAIL_1]"}],
            tool_calls=[{"name": "send", "args": {"to": ["[EMAIL_1]"], "tel": "x[PHONE_1]"}, "id": "1"}],
            additional_kwargs={"tool_calls": [{"id": "1", "function": {"arguments": '{"to": "[EMAIL_1]"}'}}]},
        )
    )
    assert answer.content == [{"type": "text", "text": "to ann@example.com"}]
    assert answer.tool_calls[0]["args"] == {"to": ["ann@example.com"], "tel": "x+49 30 1234567"}
    assert answer.additional_kwargs["tool_calls"][0]["function"]["arguments"] == '{"to": "ann@example.com"}'


def test_pieces_of_tool_calls_come_back_too() -> None:
    hidden = ALL.hide([HumanMessage("ann@example.com")])
    piece = AIMessageChunk(
        content="", tool_call_chunks=[{"name": "send", "args": '{"to": "[EMAIL_1]"}', "id": "1", "index": 0}]
    )
    assert hidden.restore(piece).tool_call_chunks[0]["args"] == '{"to": "ann@example.com"}'


def test_a_secret_never_comes_back() -> None:
    hidden = ALL.hide([HumanMessage(f"use {KEY} for ann@example.com")])
    assert KEY not in str(hidden.originals)
    answer = hidden.restore(AIMessage("", tool_calls=[{"name": "x", "args": {"key": "[redacted]"}, "id": "1"}]))
    assert answer.tool_calls[0]["args"] == {"key": "[redacted]"}


def test_a_placeholder_that_stood_in_the_text_is_not_filled_in() -> None:
    hidden = ALL.hide([HumanMessage("write [EMAIL_1] to ann@example.com"), HumanMessage("and [EMAIL_3]")])
    assert hidden.messages[0].content == "write [EMAIL_1] to [EMAIL_2]"
    assert hidden.restore(AIMessage("[EMAIL_1] [EMAIL_2] [EMAIL_3]")).content == "[EMAIL_1] ann@example.com [EMAIL_3]"


def test_a_line_break_written_in_json_is_no_part_of_an_address() -> None:
    text = json.dumps({"text": "Write to\nann@example.com or éva@example.com"})
    assert json.loads(hidden_text(text)) == {"text": "Write to\n[EMAIL_1] or é[EMAIL_2]"}


@pytest.mark.parametrize("size", range(1, 12))
def test_a_stream_never_shows_half_a_placeholder(size: int) -> None:
    hidden = ALL.hide([HumanMessage("ann@example.com, bob@example.com")])
    text = "a [EMAIL_1] [b] [EMAIL_[EMAIL_2]] list[0] [EMAIL_9] [EMA"
    restorer = hidden.restorer()
    shown = [restorer.feed(text[at : at + size]) for at in range(0, len(text), size)] + [restorer.flush()]
    assert "".join(shown) == "a ann@example.com [b] [EMAIL_bob@example.com] list[0] [EMAIL_9] [EMA"
    assert "".join(shown) == hidden.restore_text(text)
    for place in range(len(shown) - 1):
        assert not any(name.startswith("".join(shown[:place])[-3:] or "?") for name in hidden.originals)


def test_a_setting_is_read() -> None:
    assert PromptRedaction.read(["secrets"]) == PromptRedaction.read([]) == PromptRedaction()
    assert PromptRedaction.read(["Secrets", "PII"]) == ALL
    assert PromptRedaction.read(["none"]) == PromptRedaction(secrets=False)
    assert PromptRedaction.read(["email", "ip"]) == PromptRedaction(secrets=False, pii=frozenset({"email", "ip"}))


@pytest.mark.parametrize("words", [["emial"], ["none", "email"], ["secrets", "url"]])
def test_a_setting_that_makes_no_sense_is_refused(words: list[str]) -> None:
    with pytest.raises(ValueError, match="redact"):
        PromptRedaction.read(words)
    with pytest.raises(ValueError, match="credit_card"):
        PromptRedaction(pii=frozenset({"emial"}))


def test_addresses_of_both_kinds_are_found_in_any_order() -> None:
    text = "at 2001:db8:1:2:3:4:5:6 and 8.23.30.40, then 2001:db8::7 and ::ffff:8.23.30.41"
    hidden = ALL.hide([HumanMessage(text)]).messages[0].content
    assert hidden == "at [IP_1] and [IP_2], then [IP_3] and ::ffff:[IP_4]"


WORDS = st.sampled_from([value for values in PRIVATE.values() for value in values] + [*ORDINARY, "[EMAIL_1]", "[", "]"])
TEXTS = st.lists(st.text(max_size=12) | WORDS, max_size=8).map(" ".join) | st.text(max_size=60)
NO_SECRETS = PromptRedaction(secrets=False, pii=KINDS)


@given(TEXTS, TEXTS)
@settings(deadline=None)
def test_what_was_hidden_comes_back_as_it_was(text: str, other: str) -> None:
    hidden = NO_SECRETS.hide(
        [HumanMessage(text), AIMessage("", tool_calls=[{"name": "x", "args": {other: text}, "id": "1"}])]
    )
    restored = [hidden.restore(message) for message in hidden.messages]
    assert restored[0].content == text
    assert restored[1].tool_calls[0]["args"] == {other: text}  # type: ignore[attr-defined]  # the second is an AIMessage
    assert hidden.messages == NO_SECRETS.hide(hidden.messages).messages


@given(TEXTS)
@settings(deadline=None)
def test_hiding_twice_hides_no_more(text: str) -> None:
    once = ALL.hide([HumanMessage(text)])
    assert ALL.hide(once.messages).messages == once.messages


@given(TEXTS, st.lists(st.integers(1, 9), min_size=1))
def test_a_stream_restores_what_the_whole_text_restores(text: str, sizes: list[int]) -> None:
    hidden = NO_SECRETS.hide([HumanMessage(text)])
    left, shown, restorer = str(hidden.messages[0].content), "", hidden.restorer()
    while left:
        size = sizes[len(left) % len(sizes)]
        shown, left = shown + restorer.feed(left[:size]), left[size:]
    assert shown + restorer.flush() == text


@pytest.mark.parametrize("piece", ["a.", "1 ", "+1 ", "1:", "ab:", "a@", "a@b.", "AB12 ", "(212) ", "[", "[EMAIL_"])
def test_no_text_takes_long(piece: str) -> None:
    started = time.process_time()
    find_private(piece * (100_000 // len(piece)), KINDS)
    assert time.process_time() - started < 2
