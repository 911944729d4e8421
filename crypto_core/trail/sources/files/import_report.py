"""What an import of files tells, meanwhile and at its end."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from crypto_core.text.cleaning import CleanText
from crypto_core.trail.sources.files.import_coverage import NamedFiles, as_json


@dataclass(frozen=True, slots=True)
class ImportProgress:
    """Where an import stands. `of` is how many files there were to begin with."""

    files: int
    of: int
    records: int
    new: int


@dataclass(frozen=True, slots=True)
class FailedFile:
    """A file that was not read, or not all of it, and why."""

    file: CleanText
    reason: CleanText


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import brought.

    `files` are CloudTrail's files that were found, those that failed and those that are unchanged included;
    `records` the events in them, `kms` those of KMS. `duplicates` were in the store already, or came twice.
    """

    files: int = 0
    records: int = 0
    new: int = 0
    duplicates: int = 0
    kms: int = 0
    failed: tuple[FailedFile, ...] = ()
    unchanged: int = 0
    digests: int = 0
    insights: int = 0
    others: int = 0
    """Files in folders that were left out: hidden ones, and those with another suffix."""
    interrupted: bool = False
    named: NamedFiles = field(default_factory=NamedFiles, compare=False, repr=False)

    def as_json(self) -> dict[str, Any]:
        counts = ("files", "records", "new", "duplicates", "kms")
        return {name: getattr(self, name) for name in counts} | {
            "failed": list(map(asdict, self.failed)),
            "by_file_names": as_json(self.named.windows().items()),
        }
