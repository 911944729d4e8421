"""The documents of a pack say what the period says, in every form, whatever stands in foreign text."""

from __future__ import annotations

import io
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from crypto_core.compliance.answer import ControlStatus
from crypto_core.compliance.facts import ReviewFact
from crypto_core.compliance.pack.csv_tables import TABLES, csv_table
from crypto_core.compliance.pack.documents import DOCUMENTS, hidden_tokens
from crypto_core.compliance.pack.report import html_report, markdown_report, pdf_report
from crypto_core.compliance.pack.report_json import parsed, read_document, report_json
from crypto_core.compliance.pack.words import first_of_each_kind, status_words
from crypto_core.compliance.period.period import AuditPeriod, ControlDay, ControlPeriod, spans_of
from crypto_core.values.clean_text import clean
from tests.crypto_core.compliance.pack.making import CATALOGUES, CONTEXT, SINCE, made_period, noon

HOSTILE = "[/red] \x1b[31m <script>alert(1)</script> \u202e | `x` ![y](https://evil.example/z) " + "漢" * 40
TOKEN = "ghp_abcdefghijklmnopqrstuvwxyz0123456789"
FOR_PEOPLE = {"html": html_report, "markdown": markdown_report}
WITH_CATALOGUES = replace(CONTEXT, catalogues=CATALOGUES)


@pytest.fixture(scope="module")
def period() -> AuditPeriod:
    return made_period()


def hostile(period: AuditPeriod) -> AuditPeriod:
    review = ReviewFact(
        clean("18"), noon(SINCE), clean(HOSTILE), clean(f"{HOSTILE} {TOKEN}"), clean("ab" * 32)
    )
    lapse = replace(period.lapses[0], what=clean(HOSTILE * 4000, 600), ended_by=clean(f"by {TOKEN}"))
    return hidden_tokens(
        replace(period, reviews=(review,), lapses=(lapse,), unknown=(clean(HOSTILE * 9, 600),))
    )


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.values: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.values += [value or "" for name, value in attrs if name in ("href", "src", "style")]
        self.ids += [value or "" for name, value in attrs if name == "id"]


def test_the_page_needs_nothing_else_and_holds_no_foreign_markup(period: AuditPeriod) -> None:
    text = html_report(hostile(period), WITH_CATALOGUES).decode()
    page = _Page()
    page.feed(text)
    assert page.tags & {"script", "img", "link", "iframe", "form", "object"} == set()
    assert {value[:1] for value in page.values} == {"#"}
    assert len(page.ids) == len(set(page.ids))
    assert "default-src &#x27;none&#x27;" in text
    assert "\x1b" not in text
    assert "\u202e" not in text


@pytest.mark.parametrize("form", FOR_PEOPLE)
def test_forms_for_people_say_gaps_lapses_and_how_far_it_goes(period: AuditPeriod, form: str) -> None:
    text = FOR_PEOPLE[form](period, WITH_CATALOGUES).decode()
    for told in (
        "28 of 31",
        "2026-01-06 – 2026-01-07",
        "40 tokens in plaintext",
        "spring",
        "INC-7",
        "quarterly",
    ):
        assert told in text
    assert "not met on 3 of 28 days with a record, met on 25; 3 of 31 days have no record" in text
    assert "As far as it is about API tokens in PostgreSQL." in text
    assert "the last that is known" in text  # the lapse that is not over
    assert CATALOGUES[0].digest in text


@pytest.mark.parametrize("form", [*FOR_PEOPLE, "json", *TABLES])
def test_what_people_pasted_into_reasons_is_hidden_everywhere(period: AuditPeriod, form: str) -> None:
    make = {**FOR_PEOPLE, "json": report_json}.get(form) or csv_table(form)
    text = make(hostile(period), WITH_CATALOGUES).decode()
    assert TOKEN not in text
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_a_period_with_a_gap_is_never_met_throughout(period: AuditPeriod) -> None:
    met = next(one for one in period.controls if one.worst is ControlStatus.MET)
    assert status_words(met) == "met on 28 of 28 days with a record; 3 of 31 days have no record"
    whole = tuple(replace(day, status=ControlStatus.MET, record=1) for day in met.days)
    assert status_words(replace(met, days=whole)) == "met on each of 31 days"
    nothing = tuple(ControlDay(day.day, None) for day in met.days)
    told = status_words(ControlPeriod(met.control, nothing, spans_of(nothing)))
    assert told == "not assessed: none of 31 days has a record"
    seen = replace(nothing[3], status=ControlStatus.NOT_MET, by_events=True)
    by_events = replace(met, days=(*whole[:3], seen, *whole[4:]))
    assert status_words(by_events) == (
        "met on 30 of 30 days with a record; 1 of 31 days has no record; "
        "not met by CloudTrail alone on 1 day, 1 of them without a record"
    )


def test_the_document_for_programs_has_what_the_period_was_made_from(period: AuditPeriod) -> None:
    document = parsed(report_json(period, WITH_CATALOGUES))
    inputs, context = read_document(document)
    assert context == CONTEXT
    assert (inputs.changes, inputs.uses, inputs.reviews) == (period.changes, period.uses, period.reviews)
    assert (inputs.incidents, inputs.drills, inputs.seed) == (period.incidents, period.drills, period.seed)
    assert document["population"] == {
        "key": 12,
        "policy": 12,
        "approval": 12,
        "re-encryption": 12,
        "operation": 12,
    }
    assert len(document["sample"]) == 20
    for changed in (b"", b"[]", b"{}", report_json(period, WITH_CATALOGUES) + b" "):
        with pytest.raises(ValueError, match=r"it is|Expecting"):
            read_document(parsed(changed))


def test_the_pdf_is_the_same_each_time_and_takes_what_no_page_can_hold(period: AuditPeriod) -> None:
    pytest.importorskip("reportlab")
    first, again = (pdf_report(hostile(period), WITH_CATALOGUES) for _ in range(2))
    assert first == again
    assert first.startswith(b"%PDF-")
    assert b"/JavaScript" not in first
    assert b"/URI" not in first


def test_what_has_no_library_is_left_out_and_says_how_to_get_it() -> None:
    pdf = next(one for one in DOCUMENTS if one.path == "report.pdf")
    assert pdf.missing == ""
    absent = replace(pdf, module="no_such_module")
    assert absent.missing == "report.pdf is left out: it takes pip install 'keydeck[pdf]'."


def test_every_table_has_its_headings_and_as_many_cells(period: AuditPeriod) -> None:
    import csv

    for name, (headings, _) in TABLES.items():
        rows = list(csv.reader(io.StringIO(csv_table(name)(period, WITH_CATALOGUES).decode(), newline="")))
        assert rows[0] == headings.split(",")
        assert {len(row) for row in rows} == {len(rows[0])}, name
        empty = csv_table(name)(
            replace(period, records=(), controls=(), lapses=(), changes=(), sample=()), CONTEXT
        )
        assert empty.startswith(headings.encode())


def test_reasons_that_differ_in_numbers_alone_are_told_once_with_how_often() -> None:
    reasons = ("none since 2026-02-23", "no permission", "none since 2026-03-05", "none since 2026-02-23")
    assert first_of_each_kind(reasons) == (
        "none since 2026-02-23 (and 1 time more with other numbers)",
        "no permission",
    )
