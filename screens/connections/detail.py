"""The envelope under the cursor, field by field."""

from __future__ import annotations

from datetime import datetime

from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from crypto_core.coverage import Evidence
from crypto_core.database.inspection import Inspection
from crypto_core.database.inventory import InventoryRow
from crypto_core.envelope import Format
from crypto_core.foreign import clean
from screens.blocking import Trouble
from screens.key_words import KeyWords
from screens.signs import EVIDENCE_STYLES, format_style, row_sign
from screens.widgets.notice import trouble_content

_MEANING = {
    Format.V1: "envelope, not bound to its row",
    Format.V2: "envelope, bound to this row, key-committing",
    Format.DEV: "development mode: its key is public knowledge",
    Format.PLAINTEXT: "stored in plaintext",
    Format.UNRECOGNISED: "plaintext or corrupt",
    Format.EMPTY: "an empty value, no token",
}


class TokenDetail(VerticalScroll, can_focus=False):
    """What is known of one token: its row at once, its envelope when the database answered, its key when KMS did."""

    DEFAULT_CSS = """
    TokenDetail {
        height: auto; max-height: 9; padding: 0 1;
        border-top: solid $accent 40%;
        scrollbar-size-vertical: 1;
        & > Static { height: auto; }
    }
    """

    def compose(self):  # type: ignore[no-untyped-def]
        """One text."""
        yield Static(id="detail")

    def show(
        self,
        row: InventoryRow | None,
        inspection: Inspection | Trouble | None,
        keys: KeyWords,
        now: datetime,
        *,
        asking: bool,
    ) -> None:
        """Show a token, or nothing where there is none."""
        self.display = row is not None
        if row is not None:
            self.query_one("#detail", Static).update(detail_content(row, inspection, keys, asking=asking))


def detail_content(
    row: InventoryRow, inspection: Inspection | Trouble | None, keys: KeyWords, *, asking: bool
) -> Content:
    """Return the lines of the detail."""
    if isinstance(inspection, Inspection):
        row = inspection.row
    sign = row_sign(row, keys)
    stored_by = f" ({clean(row.plaintext_provider, 24)})" if row.plaintext_provider else ""
    lines = [
        Content.assemble(
            sign,
            (f" {row.ref}", "bold"),
            "   ",
            (row.format.value, f"bold {format_style(row.format)}".strip()),
            f"  {_MEANING[row.format]}{stored_by}   ",
            (f"{row.characters:,} characters", "$muted"),
        )
    ]
    if isinstance(inspection, Trouble):
        lines.append(trouble_content(inspection))
    elif inspection is not None:
        if inspection.broken:
            lines.append(Content.assemble(("▲ ", "$warning"), clean(inspection.broken)))
        lines += [_pairs(inspection.fields)] if inspection.fields else []
        lines += _key(inspection, keys, asking=asking)
    elif row.format.protected:
        lines.append(Content.assemble(("reading the envelope…", "$muted")))
    if row.shown:
        lines.append(_pairs(row.shown))
    return Content("\n").join(lines)


def _pairs(pairs: tuple[tuple[str, str], ...]) -> Content:
    parts: list[str | tuple[str, str]] = []
    for name, value in pairs:
        parts += [(f"{clean(name, 60)} ", "$muted"), f"{clean(value, 160) or '-'}   "]
    return Content.assemble(*parts)


def _key(inspection: Inspection, keys: KeyWords, *, asking: bool) -> list[Content]:
    if not inspection.row.format.protected:
        return []
    answer = inspection.wrapped_by
    if answer is None:
        why = clean(inspection.key_unknown) or ("asking KMS…" if asking else "not asked yet: i asks KMS")
        return [Content.assemble(("KMS key ", "$muted"), ("unknown  ", "$warning"), why)]
    generation = keys.generation(answer.key_arn, answer.key_material_id)
    state = keys.state(answer.key_arn)
    ask = "asking KMS…" if asking else ("i asks KMS" if inspection.evidence is not Evidence.VERIFIED else "")
    return [
        Content.assemble(
            ("KMS key ", "$muted"),
            keys.long(answer.key_arn),
            (f"   material {generation}" if generation else ""),
            "   ",
            (inspection.evidence.value, EVIDENCE_STYLES[inspection.evidence]),
            ("" if state in (None, "Enabled") else f"   ▲ {clean(state, 40)}", "$warning"),
            (f"   {ask}", "$muted"),
        )
    ]
