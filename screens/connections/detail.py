"""The envelope under the cursor, field by field."""

from __future__ import annotations

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


class TokenDetail(Static):
    """What is known of one token: its row at once, then its envelope, then what KMS says of its key."""

    DEFAULT_CSS = """
    TokenDetail { height: 7; padding: 0 1; border-top: solid $accent 40%; }
    """

    def show(
        self,
        row: InventoryRow | None,
        inspection: Inspection | Trouble | None,
        keys: KeyWords,
        *,
        asking: bool,
    ) -> None:
        """Show a token, or nothing where there is none."""
        self.update(detail_content(row, inspection, keys, asking=asking) if row is not None else "")


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
            f"  {_MEANING[row.format]}{stored_by}",
        )
    ]
    stored = (("stored", f"{row.characters:,} characters"),)
    if isinstance(inspection, Trouble):
        lines.append(trouble_content(inspection))
    elif inspection is not None:
        if inspection.broken:
            lines.append(Content.assemble(("▲ ", "$warning"), clean(inspection.broken)))
        lines.append(_pairs((*stored, *inspection.fields)))
        lines += _key(inspection, keys, asking=asking)
    elif row.format.protected:
        lines.append(Content.assemble(("reading the envelope…", "$muted")))
    if not isinstance(inspection, Inspection):
        lines.append(_pairs(stored))
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
        why = clean(inspection.key_unknown) or ("asking KMS…" if asking else "not asked yet: Enter asks KMS")
        return [Content.assemble(("KMS key ", "$muted"), ("unknown  ", "$warning"), why)]
    generation = keys.generation(answer.key_arn, answer.key_material_id)
    state = keys.state(answer.key_arn)
    sure = inspection.evidence is Evidence.VERIFIED
    ask = "asking KMS…" if asking else ("" if sure else "Enter asks KMS")
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
