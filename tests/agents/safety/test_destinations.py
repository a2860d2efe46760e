"""Every address in what is proposed is named, as a person's program would follow it."""

import pytest

from signoff.agents.safety import addresses_of, look_alikes


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("[ok](<https://evil.example/a> 'title')", {"https://evil.example/a"}),
        (
            "[![x](https://one.example/p.png)](https://two.example)",
            {"https://one.example/p.png", "https://two.example"},
        ),
        ("[x]\n\n[x]: //evil.example 'T'", {"//evil.example"}),
        ("<img srcset='//evil.example/p 2x'>", {"//evil.example/p 2x"}),
        ("[x](data:text/html;base64,AAAA)", {"data:text/html;base64,AAAA"}),
        ("<myapp:do-thing>", {"myapp:do-thing"}),
        (r"[x](https://a.example/b\_c)", {"https://a.example/b_c"}),
        (  # of Markdown the escape is taken away, of a plain address the backslash ends the host
            r"https://evil.example\@bank.example/y",
            {"https://evil.example@bank.example/y", r"https://evil.example\@bank.example/y"},
        ),
        (
            r"https://bank.example\.evil.example/",
            {"https://bank.example.evil.example/", r"https://bank.example\.evil.example/"},
        ),
    ],
)
def test_an_address_is_named_however_it_is_written(text: str, addresses: set[str]) -> None:
    assert set(addresses_of({"text": text})) == addresses


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://bank.example@evil.example/", "evil.example"),
        ("https://bank.example:x@evil.example:443/", "evil.example"),
        (r"https://evil.example\@bank.example/", "evil.example"),
    ],
)
def test_what_only_stands_before_the_host_is_cautioned(url: str, host: str) -> None:
    assert any(f"leads to “{host}”, whatever stands before the “@”." in said for said in look_alikes({"url": url}))
