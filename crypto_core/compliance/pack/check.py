"""What the verification of a pack found."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Any

from crypto_core.text.cleaning import NO_TEXT, CleanText, cleans


@dataclass(frozen=True, slots=True)
@cleans(1_000)
class PackCheck:
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

    @property
    def proved(self) -> bool:
        """Whether the pack is what the key signed, and fits together."""
        return not self.problems and not self.unproved

    def as_json(self) -> dict[str, Any]:
        """The document that `keydeck evidence verify --json` prints."""
        return {
            "proved": self.proved,
            "problems": list(self.problems),
            "unproved_because": self.unproved or None,
            "remarks": list(self.remarks),
            "since": self.since.isoformat() if self.since else None,
            "until": self.until.isoformat() if self.until else None,
            "framework": self.framework or None,
            "database_id": self.database_id or None,
            "made_at": self.made_at or None,
            "made_by": self.made_by or None,
            "version": self.version or None,
            "sha256": self.sha256 or None,
            "key_arn": self.key_arn or None,
            "algorithm": self.algorithm or None,
            "key_from": self.key_from or None,
            "files": self.files,
            "records": self.records,
            "entries": self.entries,
            "anchored": self.anchored,
            "kept_outside": list(self.kept_outside),
            "recomputed": list(self.recomputed),
        }
