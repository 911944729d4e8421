"""What the verification of a pack found."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

from crypto_core.text.cleaning import NO_TEXT, CleanText, cleans
from crypto_core.text.json_records import JsonRecord, shape


@dataclass(frozen=True, slots=True)
@cleans(1_000)
class PackCheck(JsonRecord):
    """What a pack proves. Where something is wrong, the rest is a mere claim. Cleaned text.

    `unproved` says why nothing is proved though nothing is wrong, "" where it is.
    """

    problems: tuple[CleanText, ...] = ()
    unproved: CleanText = NO_TEXT
    remarks: tuple[CleanText, ...] = ()
    """What was not checked, or is to be known."""
    since: date | None = None
    until: date | None = None
    framework: CleanText = NO_TEXT
    database_id: CleanText = NO_TEXT
    made_at: CleanText = NO_TEXT
    made_by: CleanText = NO_TEXT
    version: CleanText = NO_TEXT
    sha256: CleanText = NO_TEXT
    """Of the manifest, in hex."""
    key_arn: CleanText = NO_TEXT
    algorithm: CleanText = NO_TEXT
    key_from: CleanText = NO_TEXT
    """Where the key is from by which signatures were verified."""
    files: int = 0
    records: int = 0
    entries: int = 0
    """Entries of the journal."""
    anchored: int = 0
    """The newest entry that a valid checkpoint covers; 0 if none does."""
    kept_outside: tuple[CleanText, ...] = field(default=())
    """Up to which entries the journal is fixed outside of the pack, a sentence each."""
    recomputed: tuple[CleanText, ...] = ()
    """The files that were made again from the records, and are the same byte for byte."""

    json_shape = shape(
        "proved problems unproved_because=unproved? remarks since until framework? database_id? made_at? "
        "made_by? version? sha256? key_arn? algorithm? key_from? ..."
    )

    @property
    def proved(self) -> bool:
        """Whether the pack is what the key signed, and fits together."""
        return not self.problems and not self.unproved
