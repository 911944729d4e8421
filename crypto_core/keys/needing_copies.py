"""Which registered copies need a key: what they say to whoever is about to take the key away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from crypto_core.text.cleaning import CleanText, cleans
from crypto_core.text.counting import counted
from crypto_core.text.json_records import JsonRecord, made, shape


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
