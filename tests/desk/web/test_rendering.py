"""Text of others as the page shows it."""

import re

from signoff.desk.web.rendering import diff, dollars, markdown, short, took, with_commands


def test_a_link_leads_nowhere_and_its_address_stands_behind_its_text() -> None:
    shown = markdown("[your bank](https://evil.example/login) and <https://plain.example>")
    assert "<a" not in shown
    assert "your bank <code>https://evil.example/login</code>" in shown
    assert shown.count("https://plain.example") == 1


def test_each_table_of_a_text_is_a_region_with_a_name_of_its_own() -> None:
    shown = markdown("| a <b> | c |\n| - | - |\n| 1 | 2 |\n\nand\n\n| a |\n| - |\n| 1 |\n")
    assert re.findall('aria-label="([^"]+)"', shown) == ["Table 1: a &lt;b&gt;, c", "Table 2: a"]


def test_a_number_in_brackets_leads_to_the_quote_that_is_cited_and_to_no_other() -> None:
    shown = markdown("It rises [1], and falls [2].", [1])
    assert '<a href="#quote-1">[1]</a>' in shown
    assert "falls [2]." in shown


def test_what_was_changed_within_a_text_shows_line_by_line() -> None:
    shown = diff({"to": "bob", "text": "dear Bob\nbye"}, {"to": "bob", "text": "dear Bob\nbye\u200b"})
    assert '<span class="taken">-    bye</span>' in shown
    assert '<span class="added">+    bye<mark class="unseen">&lt;U+200B&gt;</mark></span>' in shown
    assert "dear Bob" in shown
    assert "<b>" not in diff("", "<b>")


def test_what_is_left_out_is_told_and_no_cost_looks_like_none() -> None:
    assert short("a\nb " * 60, 7) == "a b a …"
    assert took("2026-01-01T00:00:00.000000Z", "2026-01-01T02:00:00.000000Z") == "2 h"
    assert (dollars(0), dollars(0.004), dollars(1234.5)) == ("$0.00", "$0.0040", "$1,234.50")


def test_a_command_in_a_line_of_ours_stands_out_and_nothing_else_in_it_is_markup() -> None:
    shown = with_commands("No worker: `signoff fleet work`. <b> `rm` `signoff <b>`")
    assert shown == "No worker: <code>signoff fleet work</code>. &lt;b&gt; `rm` `signoff &lt;b&gt;`"
