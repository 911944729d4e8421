"""One token in words: how it is stored, what its envelope holds, which key wrapped its data key."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

from crypto_core.database.tokens.inspection import Inspection
from crypto_core.database.tokens.inventory import InventoryRow
from crypto_core.envelope import VERSIONS, Format
from crypto_core.lists.coverage import Evidence
from crypto_core.references import TokenRef
from crypto_core.text.cleaning import shortened
from crypto_core.text.counting import counted, listed
from screens.blocking import Trouble
from screens.key_words import KeyWords
from screens.signs import DECOY_SIGN, EVIDENCE_STYLES, format_style, row_sign
from screens.widgets.notice import trouble_content

_IN_THE_TITLE = ("version", "stored as")
"""Fields of an inspection that say what the title's words say."""

_NAMED = 3
_MEANING = {
    **{f: f"envelope, {version.meaning}" for f, version in VERSIONS.items()},
    Format.DEV: "its key is public",
    Format.PLAINTEXT: "stored in plaintext",
    Format.UNRECOGNISED: "plaintext or corrupt",
    Format.EMPTY: "an empty value, no token",
}


def token_text(
    row: InventoryRow,
    inspection: Inspection | Trouble | None,
    keys: KeyWords,
    *,
    asking: bool,
    apart: bool = False,
) -> list[Content]:
    """Return the lines of the detail; `apart`, each field has its own."""
    if isinstance(inspection, Inspection):
        row = inspection.row
    sign = row_sign(row, keys)
    stored_by = f" ({row.plaintext_provider})" if row.plaintext_provider else ""
    lines = [
        Content.assemble(
            sign,
            (f" {row.ref}", "bold"),
            "   ",
            (row.format.value, f"bold {format_style(row.format)}".strip()),
            f"  {_MEANING[row.format]}{stored_by}",
        )
    ]
    stored = ("stored", f"{row.characters:,} characters")
    if isinstance(inspection, Trouble):
        lines += [trouble_content(inspection), *_pairs((stored,), apart)]
    elif inspection is None:
        reading = Content.assemble(("reading the envelope…", "$muted"))
        lines += [reading] if row.format.protected else []
        lines += _pairs((stored,), apart)
    else:
        if inspection.broken:
            lines.append(Content.assemble(("▲ ", "$warning"), inspection.broken))
        lines += _key(inspection, keys, asking=asking)
        lines += _shared(inspection.shared_with or ())
        said = [(name, value) for name, value in inspection.fields if name not in _IN_THE_TITLE]
        lines += _pairs((stored, *said), apart)
    if row.shown:
        lines += _pairs(row.shown, apart)
    return lines


def _pairs(pairs: Sequence[tuple[str, str]], apart: bool) -> list[Content]:
    """The names with their values on one line; `apart`, on a line each."""
    width = max((len(name) for name, _ in pairs), default=0) if apart else 0
    cells = [
        Content.assemble((f"{shortened(name, 60):<{width}} ", "$muted"), f"{value or '-'}   ")
        for name, value in pairs
    ]
    return cells if apart else [Content("").join(cells)]


def _shared(refs: Sequence[TokenRef]) -> list[Content]:
    if not refs:
        return []
    others = f"the same token is in {counted(len(refs), 'other row')}"
    return [
        Content.assemble(
            ("▲ ", "$warning"), f"{others}, by the index: {listed(list(map(str, refs)), _NAMED)}"
        )
    ]


def _key(inspection: Inspection, keys: KeyWords, *, asking: bool) -> list[Content]:
    if not inspection.row.format.protected:
        return []
    if inspection.row.tripwire is not None:
        said = (
            f"Decoy of tripwire {inspection.row.tripwire}. Nobody legitimate opens it: whoever does is told."
        )
        return [Content.assemble((f"{DECOY_SIGN} ", "$accent"), said)]
    answer = inspection.wrapped_by
    if answer is None:
        why = inspection.key_unknown or ("asking KMS…" if asking else "not asked yet: press Enter to ask KMS")
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
            ("" if state in (None, "Enabled") else f"   ▲ {shortened(state, 40)}", "$warning"),
            (f"   {ask}", "$muted"),
        )
    ]
