"""The plan of entering a new token into one row, and its outcome."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from crypto_core.database.tokens.attached_code import AttachedCode, RunsCode
from crypto_core.envelope import Format
from crypto_core.guard.consent import Danger
from crypto_core.keyring.data_keys import KeyAnswer
from crypto_core.providers.answers import Liveness
from crypto_core.values.clean_text import clean, cleans
from crypto_core.values.counts import counted
from crypto_core.values.json_records import JsonRecord, shape
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import Secret, exposed

VERB = "enter token"
"""What the journal and the kept envelopes call it."""


@dataclass(frozen=True, slots=True)
class EntryPlan(JsonRecord, RunsCode):
    """A dry run's result. Nothing has been changed or sent. Cleaned text; a subject of a consent.

    `whose` helps to recognise the row, as (column, text). `old_key` is the ARN of the key that the old token
    was under, "" where that isn't known. `already` is True where the row holds this very token. `never_asked`
    is why no provider can tell whether the new token is alive, "" where it is asked first.
    """

    ref: TokenRef
    provider: str
    whose: tuple[tuple[str, str], ...]
    old_format: Format
    old_key: str
    key_arn: str
    format: Format
    digest: str
    warnings: tuple[str, ...] = ()
    already: bool = False
    never_asked: str = ""
    old_digest: bytes = field(default=b"", repr=False)
    source: KeyAnswer | None = None
    """What KMS said the old token was under; None where it was not asked or did not say."""
    code: tuple[AttachedCode, ...] = ()
    """What others have had run when the row is written."""

    json_shape = shape(
        "dry_run reference=ref provider to=key_arn format old_format old_key? old_value_kept=kept already "
        "never_asked? code plan=digest warnings",
        dry_run=True,
    )

    @property
    def summary(self) -> str:
        return f"Write a new token over the old one of {self.ref}"

    @property
    def kept(self) -> bool:
        """True if the old value is kept: an envelope is, plaintext and dev format never."""
        return self.old_format.protected

    @property
    def danger(self) -> Danger:
        """How much asking it takes: more where the old value can't be had back."""
        if self.already:
            return Danger.NONE
        return Danger.CONFIRM if self.kept else Danger.TYPED

    @property
    def confirmation(self) -> str:
        return clean(self.ref.identity, 200).strip() or "replace"


@dataclass(frozen=True, slots=True)
class Entered:
    """What came of it. `written` is False where the row held the token already.

    `liveness` is what the provider said of the new token before it was written, with its `reason`.
    `still_there` is False where another writer has replaced it again right after, and None where it could not
    be read back.
    """

    ref: TokenRef
    written: bool
    liveness: Liveness
    reason: str
    key_arn: str
    format: Format
    still_there: bool | None = True


@dataclass(frozen=True, slots=True)
class EntriesPlan(JsonRecord):
    """The plans of many rows, each with the line that its token came in. A subject of a consent."""

    entries: tuple[tuple[int, EntryPlan], ...]
    warnings: tuple[str, ...] = ()

    json_shape = shape(
        "dry_run plan=digest rows warnings",
        dry_run=True,
        rows=lambda plan: [{"line": line, **entry.as_json()} for line, entry in plan.entries],
    )

    @property
    def unagreed(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for _, entry in self.entries for name in entry.unagreed))

    @property
    def to_write(self) -> int:
        return sum(not entry.already for _, entry in self.entries)

    @property
    def digest(self) -> str:
        told = "\n".join(f"{line} {entry.digest}" for line, entry in self.entries)
        return hashlib.sha256(told.encode()).hexdigest()

    @property
    def danger(self) -> Danger:
        if not self.to_write:
            return Danger.NONE
        kept = all(entry.kept for _, entry in self.entries if not entry.already)
        return Danger.CONFIRM if kept else Danger.TYPED

    @property
    def confirmation(self) -> str:
        return str(self.to_write)

    @property
    def summary(self) -> str:
        return f"Write new tokens over the old ones of {counted(self.to_write, 'row')}"


@dataclass(frozen=True, slots=True)
@cleans(reason=1_000)
class EntryOutcome:
    """What came of one line: what was entered, or why nothing was."""

    line: int
    ref: TokenRef
    entered: Entered | None
    reason: str = ""


def digest_of_entry(
    ref: TokenRef,
    old_digest: bytes,
    key_arn: str,
    format_: Format,
    token: Secret,
    *,
    already: bool,
    code: Sequence[AttachedCode] = (),
) -> str:
    """Return SHA-256, in hex, over the row, what it holds, the new token, how that is sealed, and the code of
    others that runs then.

    Each part is prefixed with its length (8 bytes, big-endian).
    """
    state = hashlib.sha256()
    told = (
        ref.table,
        ref.column,
        ref.identity,
        key_arn,
        format_.value,
        str(already),
        *(repr(c.as_json()) for c in code),
    )
    parts = (*(text.encode(errors="surrogatepass") for text in told), old_digest)
    for part in parts:
        state.update(len(part).to_bytes(8, "big") + part)
    state.update(exposed(token))
    return state.hexdigest()
