"""What the register of copies says to whoever takes a key away, or restores a copy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from crypto_core.values.clean_text import CleanText, cleans
from crypto_core.values.counts import counted
from crypto_core.values.json_records import JsonRecord, made, shape


@dataclass(frozen=True, slots=True)
@cleans(name=100, location=300)
class NeedingCopy(JsonRecord):
    """A registered copy with envelopes under a key, or with some whose key is not known."""

    name: CleanText
    envelopes: int
    doubtful: int
    location: CleanText
    taken_at: datetime | None = None
    kept_until: datetime | None = None

    json_shape = shape("name location ...")

    @property
    def whereabouts(self) -> str:
        dates = [f"taken {self.taken_at:%Y-%m-%d}"] if self.taken_at else []
        dates += [f"kept until {self.kept_until:%Y-%m-%d}"] if self.kept_until else ["kept without an end"]
        return ", ".join([*dates, *([self.location] if self.location else [])])


@dataclass(frozen=True, slots=True)
@cleans(unknown=600)
class NeedingCopies(JsonRecord):
    """What is known of copies that need a key. What is not registered is not known."""

    registered: int = 0
    needing: tuple[NeedingCopy, ...] = ()
    """Those with envelopes under the key, those with most first."""
    doubtful: tuple[NeedingCopy, ...] = ()
    unknown: str = ""

    json_shape = shape(
        "registered ...",
        registered=made(int | None, lambda record: None if record.unknown else record.registered),
    )

    @property
    def lines(self) -> Iterator[str]:
        """What there is to say, never that none needs the key where nobody knows."""
        if self.unknown:
            yield f"Whether registered copies need the key is not known: {self.unknown}"
        elif not self.registered:
            yield (
                "No copies are registered: whether dumps or backups need the key is not known. Scan them: "
                "keydeck scan, keydeck copies add."
            )
        for copy in self.needing:
            number = counted(copy.envelopes, "envelope")
            yield f"Copy {copy.name}: {number} can't be opened without the key ({copy.whereabouts})."
        for copy in self.doubtful:
            number = counted(copy.doubtful, "envelope")
            yield f"Copy {copy.name}: of {number} the key is not known ({copy.whereabouts})."
        if self.registered and not self.needing and not self.doubtful:
            yield (
                f"None of the registered copies ({self.registered:,}) needs the key, as they were scanned. "
                "Of copies that are not registered nothing is known."
            )


@dataclass(frozen=True, slots=True)
class ScannedCopy:
    """What the scan of a copy says to whoever restores it."""

    needs: tuple[str, ...]
    """Which keys it needs, and how they stand; or why that is not known."""
    unusable: tuple[str, ...] = ()
    """The keys that open nothing now."""
    compare: Callable[[Mapping[str, int]], Iterable[str]] = lambda by_format: ()
    """Returns what the numbers of the restored tokens, by format, are beside those of the scan."""


class KnownCopies(Protocol):
    """The register of copies, as the core asks it."""

    def needing(self, key_arn: str) -> NeedingCopies:
        """Return which copies need a key, or why that is not known."""

    def scanned(self, name: str) -> ScannedCopy:
        """Return what is known of the copy of a name, its keys as they stand now."""


@dataclass(frozen=True, slots=True)
class NoRegister:
    """Answers `why` nothing is known, where the register is left out."""

    why: str

    def needing(self, key_arn: str) -> NeedingCopies:
        return NeedingCopies(unknown=self.why)

    def scanned(self, name: str) -> ScannedCopy:
        unknown = f"{self.why} Which keys the copy needs shows only as its tokens are opened."
        return ScannedCopy((unknown,), compare=lambda by_format: (f"Not compared with a scan. {self.why}",))
