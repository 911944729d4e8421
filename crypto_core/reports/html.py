"""A document as one HTML page that needs nothing else: no script, no request, styles of its own.

The page's Content Security Policy (W3C CSP Level 3) allows its one stylesheet by hash and nothing besides, so
that whatever slipped through escaping would still do nothing.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterator
from html import escape

from crypto_core.lists.tone import Tone
from crypto_core.reports.cells import Cell, ReportPage, ReportTable, ShownSection, TextLook
from crypto_core.reports.stylesheet import BAR_STEPS

_SHORT = 8
"""Rows of a table that is kept on one sheet."""


def as_html(page: ReportPage, styles: str) -> str:
    """Return the page, with a line break at its end. `styles` is its stylesheet."""
    return "\n".join(_page(page, styles)) + "\n"


def _policy(styles: str) -> str:
    digest = b64encode(hashlib.sha256(styles.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def _page(page: ReportPage, styles: str) -> Iterator[str]:
    yield "<!doctype html>"
    yield '<html lang="en"><head><meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{escape(_policy(styles))}">'
    yield '<meta name="referrer" content="no-referrer"><meta name="color-scheme" content="light dark">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{escape(f'{page.name} {page.title}')}</title>"
    yield f"<style>{styles}</style></head>"
    yield f'<body class="{"draft" if page.draft else "final"}"><header>'
    yield f'<p class="kind">{escape(page.kind)} <b>{escape(page.name)}</b></p>'
    yield f'<h1 dir="auto">{escape(page.title)}</h1>'
    yield f'<p class="state">{escape(page.state)}</p>'
    yield '<ul class="figures">'
    for figure in page.figures:
        note = f" <small>{escape(figure.note)}</small>" if figure.note else ""
        yield f"<li><span>{escape(figure.name)}</span> <b>{escape(figure.value)}</b>{note}</li>"
    yield "</ul>"
    sections = page.sections
    links = "".join(f'<li><a href="#{section.id}">{escape(section.title)}</a></li>' for section in sections)
    yield f'<nav aria-label="Sections"><ul>{links}</ul></nav></header><main>'
    for section in sections:
        yield from _section(section)
    yield "</main></body></html>"


def _section(section: ShownSection) -> Iterator[str]:
    yield f'<section id="{section.id}" aria-labelledby="{section.id}-title">'
    yield f'<h2 id="{section.id}-title">{escape(section.title)}</h2>'
    if section.lead:
        yield f'<p class="lead">{escape(section.lead)}</p>'
    if section.facts:
        yield "<dl>"
        yield from (f"<div><dt>{escape(f.name)}</dt><dd>{_cell(f.value)}</dd></div>" for f in section.facts)
        yield "</dl>"
    for table in section.tables:
        yield from _table(table, named=section.names_tables)
    yield "</section>"


def _table(table: ReportTable, *, named: bool) -> Iterator[str]:
    if not table.rows:
        yield f'<p class="empty"><b>{escape(table.caption)}:</b> {escape(table.empty)}</p>'
        return
    # Readers who hear the page are told each table's name, where the section's title shows it already too.
    unseen = "" if named else ' class="unseen"'
    short = ' class="short"' if len(table.rows) <= _SHORT else ""
    yield f"<table{short}><caption{unseen}>{escape(table.caption)}</caption><thead><tr>"
    for header, cell in zip(table.headers, table.rows[0], strict=True):
        yield f'<th scope="col" class="{cell.look.value}">{escape(header)}</th>'
    yield "</tr></thead><tbody>"
    for row in table.rows:
        first = f'<th scope="row" class="{row[0].look.value}">{_cell(row[0])}</th>'
        rest = "".join(f'<td class="{cell.look.value}">{_cell(cell)}</td>' for cell in row[1:])
        yield f"<tr>{first}{rest}</tr>"
    yield "</tbody></table>"


def _cell(cell: Cell) -> str:
    """The lines of a cell, each by itself: a right-to-left text turns nothing around it."""
    tag = "code" if cell.look is TextLook.CODE else "span"
    tone = f' class="{cell.tone.value}"' if cell.tone is not Tone.PLAIN else ""
    text = f'<{tag}{tone} dir="auto">{escape(cell.text)}</{tag}>' if cell.text else ""
    more = "".join(f'<small dir="auto">{escape(line)}</small>' for line in cell.more if line)
    return text + _bar(cell.share) + more


def _bar(share: int | None) -> str:
    if share is None:
        return ""
    step = min(round(share / 100 * BAR_STEPS), BAR_STEPS)
    over = " over" if share > 100 else ""
    return f'<span class="bar{over}" aria-hidden="true"><i class="w{step}"></i></span>'
