"""Markdown, HTML and JSON of one report: the same facts, and nothing foreign that acts."""

from __future__ import annotations

import hashlib
import json
import re
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from html.parser import HTMLParser
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from crypto_core.incidents.model import found_out
from crypto_core.incidents.report.signature import as_json
from crypto_core.reports.markdown import escaped
from crypto_core.values.clean_text import clean
from crypto_core.values.moments import duration, moment, span
from tests.crypto_core.incidents.report.making import HmacSigner, report_of, service_of, sown
from tests.crypto_core.incidents.sample import BEGAN, at, sample
from tests.lanes import examples

HOSTILE = (
    "[/red]",
    "<script>alert(1)</script>",
    "](javascript:alert(1))",
    "[click](https://evil.example/)",
    "![x](//evil.example/x.png)",
    "<img src=x onerror=alert(1)>",
    "\"><b onclick='x'>",
    "<!-- hidden",
    "</style></title></table>",
    "a | b | c",
    "\\| a \\\\| b",
    "ends in \\",
    "`rm` ``",
    "# heading",
    "- item",
    "+ item",
    "1. item",
    "2) item",
    "> quote",
    "---",
    "===",
    "***bold*** __bold__ ~~gone~~",
    "&lt;script&gt; &#124;",
    "https://evil.example/ http://evil.example",
    "www.evil.example <https://evil.example>",
    "[ref]: https://evil.example",
    "two\nlines\r\n\r\n# three\u2028four",
    "\x1b[31mred\x1b]0;title\x07",
    "\u202eesrever\u200b",
    "    indented",
    "$x^2$ @here {{7*7}}",
    "Mozilla/5.0 [/red] (X11; <b>) \x9b31m",
)
TAGS = {
    *(
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "header",
        "p",
        "b",
        "h1",
        "ul",
        "li",
        "span",
        "small",
    ),
    *(
        "nav",
        "a",
        "main",
        "section",
        "h2",
        "dl",
        "div",
        "dt",
        "dd",
        "table",
        "caption",
        "thead",
        "tbody",
        "tr",
    ),
    *("th", "td", "code", "i"),
}
ATTRIBUTES = {
    *("lang", "charset", "http-equiv", "content", "name", "class", "dir", "id", "href", "scope"),
    *("aria-label", "aria-labelledby", "aria-hidden"),
}


class Page(HTMLParser):
    """An HTML page taken apart."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.style = ""
        self.texts: list[str] = []
        self.policy = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if dict(attrs).get("http-equiv") == "Content-Security-Policy":
            self.policy = dict(attrs)["content"] or ""
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            self.style += data
        else:
            self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError("a comment")

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def hostile_forms() -> dict[str, str]:
    numbers = count()
    poisoned = sown(sample(), lambda: HOSTILE[next(numbers) % len(HOSTILE)])
    return service_of(poisoned, HmacSigner()).reports(poisoned.view)


def markdown() -> MarkdownIt:
    md = MarkdownIt("gfm-like")
    assert md.linkify is not None
    # GitHub makes links of addresses with a scheme and of www., not of everything with a dot.
    md.linkify.set({"fuzzy_link": False, "fuzzy_email": False})
    return md


def rendered(text: str) -> str:
    return Page(markdown().render(text)).text


def squeezed(text: str) -> str:
    return " ".join(clean(text, 5000).split())


def test_nothing_foreign_acts_in_the_html() -> None:
    page = Page(hostile_forms()["html"])
    assert not page.open, "every element is closed"
    assert {tag for tag, _ in page.elements} <= TAGS
    assert {name for _, attributes in page.elements for name in attributes} <= ATTRIBUTES
    links = [attributes["href"] for tag, attributes in page.elements if tag == "a"]
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert links
    assert {link and link[0] for link in links} == {"#"}
    assert {link and link[1:] for link in links} <= set(ids)
    assert len(set(ids)) == len(ids)
    for text in HOSTILE:
        assert squeezed(text) in page.text, "it is shown as what it is"


def test_the_html_asks_for_nothing_and_allows_only_its_own_style() -> None:
    html = hostile_forms()["html"]
    page = Page(html)
    digest = b64encode(hashlib.sha256(page.style.encode()).digest()).decode()
    assert page.policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    assert "url(" not in page.style
    assert "@import" not in page.style
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]", html)


def test_the_html_prints_on_a4_and_is_readable_in_the_dark_and_by_ear() -> None:
    page = Page(hostile_forms()["html"])
    for rule in ("@media print", "size: A4", "break-inside: avoid", "prefers-color-scheme: dark"):
        assert rule in page.style
    tables = [tag for tag, _ in page.elements if tag in ("table", "caption")]
    assert tables.count("table") == tables.count("caption") > 5
    headers = [attributes.get("scope") for tag, attributes in page.elements if tag == "th"]
    assert set(headers) == {"col", "row"}
    assert page.elements[0] == ("html", {"lang": "en"})


def test_nothing_foreign_acts_in_the_markdown() -> None:
    text = hostile_forms()["markdown"]
    plain = service_of(sample(), HmacSigner()).report(sample().view)
    tokens = markdown().parse(text)
    inline = [child for token in tokens for child in token.children or ()]
    acting = {"link_open", "image", "html_inline", "em_open", "s_open", "softbreak", "hardbreak"}
    assert not acting & {token.type for token in inline}
    blocks = {
        "html_block",
        "fence",
        "code_block",
        "blockquote_open",
        "ordered_list_open",
        "hr",
        "lheading_open",
    }
    assert not blocks & {token.type for token in tokens}
    headings = re.compile("^#+ .*$", re.MULTILINE)
    assert headings.findall(text)[1:] == headings.findall(plain)[1:]
    assert max(token.level for token in tokens if token.type == "bullet_list_open") == 0
    shown = rendered(text)
    for hostile in HOSTILE:
        assert squeezed(hostile) in shown
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", text)


def test_markdown_tables_keep_their_columns_whatever_is_in_them() -> None:
    for text in (hostile_forms()["markdown"], service_of(sample()).report(sample().view)):
        lines = text.split("\n")
        rules = [i for i, line in enumerate(lines) if re.fullmatch(r"\|( -+:? \|)+", line)]
        assert len(rules) >= 9
        for rule in rules:
            columns = lines[rule].count("|")
            assert lines[rule - 1].count("|") == columns
            rows = lines[rule + 1 :]
            rows = rows[: rows.index("")]
            assert rows
            assert {row.count("|") for row in rows} == {columns}


@settings(max_examples=examples(100))
@given(st.text(alphabet=st.sampled_from(list("|\\`*_{}[]()<>#+-.!~&=:/@$ \n0aw")), max_size=20))
def test_escaped_text_is_read_back_from_markdown_as_it_was(text: str) -> None:
    expected = squeezed(text)
    assert rendered(f"{escaped(text)}\n") == expected
    assert rendered(f"- {escaped(text)}\n") == expected
    assert rendered(f"| h | i |\n| --- | --- |\n| {escaped(text)} | x |\n") == f"h i {expected} x".replace(
        "  ", " "
    )


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, one in value.items():
            yield from leaves(one, key)
    elif isinstance(value, list):
        for one in value:
            yield from leaves(one, name)
    elif value is not None and value != "":
        yield name, value


def shown_as(name: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT.*\+00:00", value):
        whole = moment(datetime.fromisoformat(value))
        return whole, f"– {whole[11:]}"
    if isinstance(value, str):
        return value, found_out(value)
    if name.endswith("seconds"):
        return (duration(value),)
    return str(value), f"{value:,}"


@pytest.mark.parametrize("open_", [False, True])
def test_all_forms_tell_the_same(open_: bool) -> None:
    made = sample(open_=open_)
    forms = service_of(made, HmacSigner(), now=at(20 if open_ else 200)).reports(made.view)
    exported = json.loads(forms["json"])
    pages = {"html": Page(forms["html"]).text, "markdown": rendered(forms["markdown"])}
    for part in ("report", "signature"):
        for name, value in leaves(exported[part]):
            if name in ("schema", "schema_version", "step_id") or isinstance(value, bool):
                continue
            if name in ("budget_seconds", "elapsed_seconds") and (not value or open_):
                continue
            for form, text in pages.items():
                assert any(way in text for way in shown_as(name, value)), (form, name, value)
    assert all(exported["sha256"] in text for text in pages.values())


def test_the_json_has_a_schema_and_is_written_the_same_each_time() -> None:
    document = as_json(report_of(sample()))
    assert set(document) == {
        *("schema", "schema_version", "head", "scope", "figures", "open_points", "times", "found", "census"),
        *("tokens", "jobs", "tokens_in_scope", "steps", "timeline", "actions", "actions_left_out"),
        *(
            "evidence",
            "people",
            "roles",
            "follow_ups",
            "journal_state",
            "database_id",
            "suspects",
            "suspects_evidence",
            "accepted_losses",
            "token_uses",
            "thefts",
        ),
    }
    assert document["schema_version"] == 1
    first, second = (service_of(sample(), HmacSigner()).report(sample().view, "json") for _ in range(2))
    assert first == second
    assert list(json.loads(first)["report"]) == sorted(document)
    report = service_of(sample()).signed(sample().view).report
    assert json.loads(first)["report"] == as_json(report)


def test_moments_and_durations_in_words() -> None:
    assert [duration(s) for s in (None, 0, 59.6, 61, 3600, 4500, 93_600, 10_000_000)] == [
        *("", "0 s", "1 min", "1 min 1 s", "1 h", "1 h 15 min", "1 d 2 h", "115 d 17 h"),
    ]
    assert span(BEGAN, at(5)) == "2026-03-12 12:00:00 – 12:05:00"
    assert span(BEGAN, at(1440)) == "2026-03-12 12:00:00 – 2026-03-13 12:00:00"
    assert (span(BEGAN, None), span(None, BEGAN), span(None, None)) == (
        "from 2026-03-12 12:00:00",
        "at 2026-03-12 12:00:00",
        "",
    )


def test_what_steps_have_found_out_is_told_in_words_and_in_json_by_its_name() -> None:
    made = sample()
    values = {"unknown_liveness": "3", "a_name_of_ones_own": "[/red]\x1b[31m"}
    made = replace(made, view=replace(made.view, incident=replace(made.view.incident, values=values)))
    forms = service_of(made, HmacSigner()).reports(made.view)
    for form in ("markdown", "html"):
        assert "Found out: tokens of which it is not known" in forms[form]
        assert "Found out: a name of ones own" in forms[form]
        assert "unknown" + "_" + "liveness" not in forms[form]
        assert "\x1b" not in forms[form]
    assert {one["name"] for one in json.loads(forms["json"])["report"]["found"]} == set(values)
