"""A document as one HTML page that needs nothing else: no script, no request, styles of its own.

The page's Content Security Policy (W3C CSP Level 3) allows its one stylesheet by hash and nothing besides, so
that whatever slipped through escaping would still do nothing. It looks well on screens, light and dark, and
on A4.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterator
from html import escape

from crypto_core.lists.tone import Tone
from crypto_core.reports.cells import Cell, ReportPage, ReportTable, ShownSection, TextLook

BAR_STEPS = 20
"""A bar's lengths, as classes: the page's policy forbids styles in elements."""

_BARS = "".join(f".w{step}{{width:{step * 100 // BAR_STEPS}%}}" for step in range(BAR_STEPS + 1))

_LIGHT = """
  --page: #ffffff; --ink: #1d2530; --soft: #5b6675; --line: #d9dee5; --band: #f5f7f9;
  --accent: #1c5d99; --good: #1f6b3a; --warning: #8a5200; --bad: #a8201a;"""

_DARK = """
  --page: #12161c; --ink: #dfe4ea; --soft: #98a3b1; --line: #2c343f; --band: #191f27;
  --accent: #7db4e6; --good: #7cc693; --warning: #e2ae62; --bad: #f2918a;"""


def stylesheet(rules: str, whole: str) -> str:
    """Return the styles of a kind of document, with rules of its own; `whole` selects what no page cuts."""
    return f"""
:root {{ color-scheme: light dark;{_LIGHT} }}
@media screen and (prefers-color-scheme: dark) {{ :root {{{_DARK} }} }}
* {{ box-sizing: border-box; }}
body {{
  margin: 0 auto; padding: 2rem 1.5rem 4rem; max-width: 70rem; background: var(--page); color: var(--ink);
  font: 0.875rem/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif;
}}
html {{ background: var(--page); }}
header {{ border-top: 4px solid var(--accent); padding-top: 0.9rem; }}
.kind {{ margin: 0; color: var(--soft); letter-spacing: 0.02em; }}
.kind b {{ color: var(--accent); }}
h1 {{ margin: 0.1rem 0 0.3rem; font-size: 1.7rem; line-height: 1.2; font-weight: 650;
  overflow-wrap: anywhere; }}
h2 {{ margin: 2rem 0 0.5rem; font-size: 1.08rem; font-weight: 650; color: var(--accent); }}
.state {{ margin: 0 0 1rem; }}
.draft .state {{
  display: inline-block; padding: 0.15rem 0.6rem; border: 1px solid var(--warning); color: var(--warning);
  font-weight: 600;
}}
.figures {{ display: flex; flex-wrap: wrap; margin: 0; padding: 0; list-style: none;
  border-top: 1px solid var(--line); border-bottom: 1px solid var(--line); }}
.figures li {{ flex: 1 1 6.6rem; padding: 0.5rem 0.7rem 0.5rem 0; }}
.figures span, .figures small {{ display: block; color: var(--soft); font-size: 0.78rem; }}
.figures b {{ font-size: 1.08rem; font-weight: 650; white-space: nowrap; }}
nav ul {{ display: flex; flex-wrap: wrap; gap: 0.1rem 1rem; margin: 0.7rem 0 0; padding: 0;
  list-style: none; }}
a {{ color: var(--accent); text-decoration: none; }}
a:hover, a:focus {{ text-decoration: underline; }}
.lead, .empty {{ margin: 0 0 0.6rem; color: var(--soft); }}
dl {{ margin: 0 0 0.9rem; }}
dl div {{ display: flex; gap: 1rem; padding: 0.25rem 0; border-top: 1px solid var(--line); }}
dt {{ flex: 0 0 12rem; color: var(--soft); }}
dd {{ flex: 1 1 0; margin: 0; min-width: 0; overflow-wrap: anywhere; }}
table {{ width: 100%; margin: 0 0 1.1rem; border-collapse: collapse; }}
caption {{ padding: 0 0 0.3rem; text-align: left; color: var(--soft); font-size: 0.8rem; }}
th, td {{ padding: 0.32rem 0.8rem 0.32rem 0; text-align: left; vertical-align: top;
  overflow-wrap: anywhere; }}
th:last-child, td:last-child {{ padding-right: 0; }}
.unseen {{ position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }}
thead th {{ border-bottom: 1px solid var(--soft); color: var(--soft); font-size: 0.78rem; font-weight: 600;
  overflow-wrap: normal; }}
tbody th {{ font-weight: 500; }}
tbody tr {{ border-bottom: 1px solid var(--line); }}
.number {{ text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }}
.time {{ min-width: 5.5rem; font-variant-numeric: tabular-nums; overflow-wrap: normal; }}
td.code {{ min-width: 9rem; }}
code {{ font: 0.92em/1.4 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
  word-break: break-all; }}
td small, th small, dd small {{ display: block; color: var(--soft); font-size: 0.8rem; font-weight: 400;
  unicode-bidi: isolate; }}
td span, th span, dd span {{ unicode-bidi: isolate; }}
.good, .warning, .bad {{ white-space: nowrap; }}
.good {{ color: var(--good); }}
.warning {{ color: var(--warning); font-weight: 700; }}
.bad {{ color: var(--bad); font-weight: 700; }}
.quiet {{ color: var(--soft); }}
.bar {{ display: block; width: 7rem; max-width: 100%; height: 4px; margin: 0.25rem 0 0.15rem;
  background: var(--line); }}
.bar i {{ display: block; height: 4px; background: var(--accent); }}
.bar.over i {{ background: var(--bad); }}
{_BARS}
{rules}@media print {{
  @page {{ size: A4; margin: 16mm 14mm 18mm;
    @bottom-right {{ content: counter(page) " / " counter(pages); font: 8pt sans-serif; color: #5b6675; }} }}
  html {{ font-size: 9.5pt; }}
  body {{ max-width: none; padding: 0; }}
  nav {{ display: none; }}
  h1, h2, caption, .lead {{ break-after: avoid; }}
  thead {{ display: table-header-group; }}
  tr, dl div, .figures, .short {{ break-inside: avoid; }}
  {whole} {{ break-inside: avoid; }}
  p, dd {{ orphans: 3; widows: 3; }}
  .bar, .bar i {{ print-color-adjust: exact; -webkit-print-color-adjust: exact; }}
}}
"""


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
