"""Rotation shown: which tokens are on which key material, and that those on earlier ones still open.

Automatic and on-demand rotation add key material and re-encrypt nothing: KMS keeps every material of a key to
open what it has wrapped (AWS KMS Developer Guide, "Rotate AWS KMS keys").
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, zip_longest
from threading import Event

from crypto_core.database.tokens.inventory import Inventory
from crypto_core.keys.inventory import KeyInventory
from crypto_core.keys.service import StatusService
from crypto_core.keys.state import KeyMaterial, KeyState
from crypto_core.keys.status import Status
from crypto_core.lists.coverage import Coverage, Evidence
from crypto_core.reencryption.plan import RunProgress, Selection, Verification
from crypto_core.reencryption.verification import Verifier
from crypto_core.values.cancellation import stop_if
from crypto_core.values.json_records import JsonRecord, shape
from crypto_core.values.references import TokenRef


@dataclass(frozen=True, slots=True)
class MaterialTokens(JsonRecord):
    """The tokens on one key material. `evidence` is None where there is none; `asked` of them KMS was asked.

    `number` is the generation, 1 being the first, None for material that KMS does not list. `tried` are the
    tokens that were to be opened; empty where none were asked for.
    """

    key_material_id: str | None
    """None for tokens of which KMS does not tell the material."""
    number: int | None
    material: KeyMaterial | None
    tokens: int
    evidence: Evidence | None
    asked: int
    tried: tuple[Verification, ...] = ()

    json_shape = shape(
        "number key_material_id state=material.state since=material.since rotation=material.rotation tokens "
        "evidence asked tried opened failed",
        tried=lambda record: len(record.tried),
    )

    @property
    def opened(self) -> int:
        return sum(v.opened for v in self.tried)

    @property
    def failed(self) -> tuple[Verification, ...]:
        return tuple(v for v in self.tried if not v.opened)


@dataclass(frozen=True, slots=True)
class KeyMaterials(JsonRecord):
    """A key's materials, the first one first, with the tokens on each."""

    key: KeyState
    materials: tuple[MaterialTokens, ...]
    coverage: Coverage

    json_shape = shape(
        "key_arn=key.key_arn key_state=key.state current_key_material_id=key.current_material_id tokens "
        "materials coverage",
        tokens=lambda record: sum(m.tokens for m in record.materials),
    )

    @property
    def failed(self) -> tuple[Verification, ...]:
        return tuple(chain.from_iterable(m.failed for m in self.materials))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class MaterialService:
    """Tells tokens by key material, and opens some of each. Blocks on KMS and SQL; changes nothing."""

    keys: KeyInventory
    status: StatusService
    inventory: Inventory
    verifier: Verifier

    def examine_materials(
        self,
        key: str,
        *,
        verify: int = 0,
        progress: Callable[[RunProgress], None] | None = None,
        cancelled: Event | None = None,
    ) -> KeyMaterials:
        """Return the materials of a key by ARN, id, alias or alias ARN.

        Up to `verify` tokens on each are opened, of every column some; the key must be trusted for that. No
        plaintext is kept. `progress` is told of each material by itself. Raises SettingsError for what is no
        key name, KmsError, DatabaseError, and InterruptedRunError once `cancelled` is set.
        """
        state = self.keys.show(key)
        status = self.status.take_census(cancelled=cancelled)
        listed = {m.key_material_id: m for m in state.materials}
        names = (*listed, *(s.key_material_id for s in status.shares_under(state.key_arn)))
        tried: dict[str | None, tuple[Verification, ...]] = {}
        for name in dict.fromkeys(names) if verify > 0 else ():
            stop_if(cancelled)
            refs = tuple(self._some(state, status, name, verify))
            if refs:
                tried[name] = self.verifier.verify_selection(
                    Selection(refs), progress=progress, cancelled=cancelled
                )
        stop_if(cancelled)
        if tried:
            # Who was asked about now counts as verified, and may be on another material than was inferred.
            status = self.status.take_census(cancelled=cancelled)
        under = (s.key_material_id for s in status.shares_under(state.key_arn))
        ordered = dict.fromkeys((*listed, *under, *tried))
        found = tuple(_tokens(state, status, name, listed, tried.get(name, ())) for name in ordered)
        return KeyMaterials(state, found, Coverage(tuple(dict.fromkeys(_gaps(state, status)))))

    def _some(self, state: KeyState, status: Status, name: str | None, most: int) -> Iterator[TokenRef]:
        """The first tokens on a material, of each column in turn."""
        arns = dict.fromkeys((state.key_arn, *(s.key_arn or "" for s in status.shares_under(state.key_arn))))
        material = "-material:*" if name is None else f'material:"{name}"'
        by_column: dict[tuple[str, str], list[TokenRef]] = {}
        for page in self.inventory.references(f"key:{','.join(arns)} {material}"):
            kept = by_column.setdefault((page[0].table, page[0].column), [])
            kept += page[: most - len(kept)]
        turns = chain.from_iterable(zip_longest(*by_column.values()))
        for ref, _ in zip((ref for ref in turns if ref is not None), range(most), strict=False):
            yield ref


def _tokens(
    state: KeyState,
    status: Status,
    name: str | None,
    listed: dict[str, KeyMaterial],
    tried: tuple[Verification, ...],
) -> MaterialTokens:
    shares = [s for s in status.shares_under(state.key_arn) if s.key_material_id == name]
    evidence = {s.evidence for s in shares}
    return MaterialTokens(
        key_material_id=name,
        number=state.material_number(name),
        material=listed.get(name or ""),
        tokens=sum(s.tokens for s in shares),
        evidence=min(evidence, key=_weakness) if evidence else None,
        asked=sum(s.asked for s in shares),
        tried=tried,
    )


def _weakness(evidence: Evidence) -> int:
    """Where replicas differ, the weaker evidence is told."""
    return -list(Evidence).index(evidence)


def _gaps(state: KeyState, status: Status) -> Iterator[str]:
    if "materials" in state.missing:
        yield f"Materials of {state.key_arn}: {state.missing['materials']}"
    unknown = sum(s.tokens for s in status.keys if s.key_arn is None)
    if unknown:
        yield f"Tokens whose key is not known: {unknown:,}"
    yield from status.coverage.reasons
