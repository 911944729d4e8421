"""A key as commands print it, with the tokens under it."""

from __future__ import annotations

from dataclasses import dataclass

from crypto_core.keys.dependent_copies import NeedingCopies
from crypto_core.keys.state import KeyState
from crypto_core.keys.status import KeyShare, Status
from crypto_core.lists.coverage import Coverage
from crypto_core.values.json_records import JsonRecord, shape


@dataclass(frozen=True, slots=True)
class MaterialShare(JsonRecord):
    """The tokens under one generation of a key."""

    share: KeyShare

    json_shape = shape("key_material_id=share.key_material_id tokens=share.tokens evidence=share.evidence")


@dataclass(frozen=True, slots=True)
class KeyDocument(JsonRecord):
    """A key, and the tokens under it as far as they were counted.

    Of one key, also the copies that need it, and what was not seen.
    """

    state: KeyState
    taken: Status | None
    copies: NeedingCopies | None = None
    coverage: Coverage | None = None

    json_shape = shape("*state tokens tokens_by_material [copies] [coverage]")

    @property
    def tokens(self) -> int | None:
        return None if self.taken is None else self.taken.tokens_under(self.state.key_arn)

    @property
    def tokens_by_material(self) -> tuple[MaterialShare, ...] | None:
        if self.taken is None:
            return None
        return tuple(map(MaterialShare, self.taken.shares_under(self.state.key_arn)))
