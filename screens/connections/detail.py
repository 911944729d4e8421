"""The envelope under the cursor, field by field."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pkgutil import resolve_name
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from textual.content import Content
from textual.message import Message
from textual.timer import Timer

from crypto_core.database.tokens.decoys import DECOY_SIGN
from crypto_core.database.tokens.inspection import Inspection
from crypto_core.database.tokens.inventory_row import TOKEN, InventoryRow
from crypto_core.envelope import VERSIONS, Format
from crypto_core.lists.coverage import Evidence
from crypto_core.values.cancellation import Cancellation
from crypto_core.values.clean_text import shortened
from crypto_core.values.counts import counted, listed
from crypto_core.values.references import TokenRef
from screens.actions.registry import added
from screens.blocking_calls import Failure
from screens.facts import ScreenFacts
from screens.key_words import KeyWords
from screens.signs import EVIDENCE_STYLES, format_style, row_sign
from screens.widgets.notice import trouble_content
from screens.widgets.text_lines import TextLines
from screens.worker_calls import ask

if TYPE_CHECKING:
    from crypto_core.trail.use.named_use import NamedUse
    from screens.services import Services

REST_SECONDS = 0.2
"""How long the cursor rests on a token before its envelope is read: a key that is held down reads none."""
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


class TokenPart(NamedTuple):
    """What is known of a token besides its envelope: its lines stand below."""

    read: Callable[[Services, TokenRef], Any]
    """In a worker; None where nothing is known."""
    lines: Callable[[Any, datetime, bool], Sequence[Content]]
    """The lines of what was read; with True, all that is known."""


class TokenDetail(TextLines):
    """What is known of one token: its row at once, then its envelope, then what KMS says of its key.

    At most one envelope is being read at a time: when it came and the cursor has moved on meanwhile, the one
    under the cursor is read next. So holding a key down doesn't burden the database.
    """

    DEFAULT_CSS = """
    TokenDetail {
        padding: 0 1;
        text-wrap: nowrap;
    }
    """

    @dataclass
    class KmsAsked(Message):
        """KMS was asked about a token, so its row may say more now."""

        ref: TokenRef

    def __init__(self, facts: ScreenFacts) -> None:
        super().__init__()
        self._facts = facts
        self._row: InventoryRow | None = None
        self._known: tuple[TokenRef, Inspection | Failure] | None = None
        self._beside: dict[str, tuple[TokenRef | None, Any]] = dict.fromkeys(_PARTS, (None, None))
        """What is known of a token by each part."""
        self._reading: TokenRef | None = None
        self._asking_kms: TokenRef | None = None
        self._widest = 0
        self._rest: Timer | None = None
        self._moved_at = 0.0

    def follow(self, row: InventoryRow | None) -> None:
        """Show this token, or nothing; read its envelope if it isn't known yet."""
        self._row = row
        if row is None:
            self._write([])
            return
        known = self._known[1] if self._known is not None and self._known[0] == row.ref else None
        if known is None and self._reading is None:
            self._read_when_at_rest()
        asking = self._asking_kms == row.ref
        text = token_text(row, known, self._facts, asking=asking, apart=self._is_tall)
        self._write([*text, *self._lines_beside(row.ref)])

    def _lines_beside(self, ref: TokenRef) -> Iterator[Content]:
        for name, (known_of, known) in self._beside.items():
            if known_of == ref:
                yield from resolve_name(_PARTS[name]).lines(known, self._facts.clock(), self._is_tall)

    @property
    def _is_tall(self) -> bool:
        """True beside the list, where there is room for a line for each field."""
        return self.parent is not None and self.parent.has_class("-beside")

    def _write(self, lines: Sequence[Content]) -> None:
        self._widest = max((line.rstrip().cell_length for line in lines), default=0)
        self._fold()
        self.show(lines)

    def on_resize(self) -> None:
        self._fold()

    def _fold(self) -> None:
        """Fold lines where one is too long, and only then: looking for where to fold takes its time."""
        self.styles.text_wrap = "wrap" if self._widest > self.content_size.width else "nowrap"

    def _read_when_at_rest(self) -> None:
        self._moved_at = monotonic()
        if self._rest is None:
            # An interval: Textual drops a single timer whose time is over before it has begun to wait.
            self._rest = self.set_interval(REST_SECONDS / 4, self._read_at_rest)

    @property
    def read_soon(self) -> bool:
        """True while the cursor has to rest for the envelope to be read."""
        return self._rest is not None

    def _read_at_rest(self) -> None:
        if self._rest is None or monotonic() - self._moved_at < REST_SECONDS:
            return
        self._rest.stop()
        self._rest = None
        row = self._row
        if row is not None and self._reading is None and (self._known is None or self._known[0] != row.ref):
            self._read(row.ref)

    def forget(self) -> None:
        self._known = None

    def ask_kms(self) -> None:
        """Ask KMS which key wrapped the token's data key, unless KMS is being asked about one already."""
        if self._row is None or self._asking_kms is not None:
            return
        ref = self._asking_kms = self._row.ref
        inspect = self._facts.services.inspector.inspect_token
        ask(self, lambda _: inspect(ref), lambda answer: self._kms_told(ref, answer), group="inspect-kms")
        self.follow(self._row)

    def _read(self, ref: TokenRef) -> None:
        self._reading = ref
        for name in _PARTS:
            read = partial(_read_part, name, self._facts.services, ref)
            ask(self, read, partial(self._keep_beside, ref, name), group=name)
        inspect = self._facts.services.inspector.inspect_token
        ask(
            self,
            lambda _: inspect(ref, ask_kms=False),
            lambda answer: self._read_it(ref, answer),
            group="inspect",
        )

    def _keep_beside(self, ref: TokenRef, group: str, answer: object) -> None:
        """Show it if the cursor is still on the token; of trouble with receipts the timeline tells."""
        known = answer is not None and not isinstance(answer, Failure)
        self._beside[group] = (ref if known else None, answer)
        if known and self._row is not None and self._row.ref == ref:
            self.follow(self._row)

    def _read_it(self, ref: TokenRef, answer: Inspection | Failure) -> None:
        self._reading = None
        self._keep(ref, answer)

    def _kms_told(self, ref: TokenRef, answer: Inspection | Failure) -> None:
        self._asking_kms = None
        self.post_message(self.KmsAsked(ref))
        self._keep(ref, answer)

    def _keep(self, ref: TokenRef, answer: Inspection | Failure) -> None:
        """Show the envelope if the cursor is still on it; else read the one that it is on now."""
        if self._row is not None and self._row.ref == ref:
            self._known = (ref, answer)
        self.follow(self._row)


def _receipted_use(services: Services, ref: TokenRef) -> NamedUse | None:
    return services.event_use.receipted_use(ref) if services.events_kept() else None


def _receipt_lines(use: NamedUse, now: datetime, _apart: bool) -> Sequence[Content]:
    """Who opened the token according to receipts, where there are any."""
    from screens.use.lines import span_words

    words = "no receipt is about this token"
    if use.events:
        words = f"opened {use.opened:,}×, {span_words(use.first, use.last, now)}"
    return [Content.assemble(("by receipt ", "$muted"), words)]


RECEIPTS = TokenPart(_receipted_use, _receipt_lines)
_PARTS: Mapping[str, str] = {
    **{name: path for table in added("TOKEN_PARTS") for name, path in table.items()},
    "receipts": f"{__name__}:RECEIPTS",
}


def _read_part(name: str, services: Services, ref: TokenRef, _cancelled: Cancellation) -> object:
    return resolve_name(_PARTS[name]).read(services, ref)


def token_text(
    row: InventoryRow,
    inspection: Inspection | Failure | None,
    facts: ScreenFacts,
    *,
    asking: bool,
    apart: bool = False,
) -> list[Content]:
    """Return the lines of the detail; `apart`, each field has its own."""
    if isinstance(inspection, Inspection):
        row = inspection.row
    keys = facts.key_words
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
    if isinstance(inspection, Failure):
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
    if TOKEN.others:
        lines += _pairs(tuple(TOKEN.facts(row, facts)), apart)
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
