"""The whole bill of one snapshot, as CycloneDX 1.6 in JSON."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence

from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.lifecycle import LifecyclePhase, PredefinedLifecycle
from cyclonedx.model.tool import ToolRepository
from cyclonedx.output.json import JsonV1Dot6

from crypto_core.compliance.algorithm_uses import algorithms_in_use, quantum_readiness
from crypto_core.compliance.facts import CryptographyFacts, GuardingKeyFacts, KeyFact, TokenFacts
from crypto_core.compliance.pack.bom.algorithms import add_algorithms, add_endpoint
from crypto_core.compliance.pack.bom.bill import Bill, properties, text
from crypto_core.compliance.pack.bom.keys import (
    add_columns,
    add_former_key,
    add_key,
    add_signing_key,
    kms_uses,
)
from crypto_core.compliance.pack.context import PackContext
from crypto_core.compliance.pack.recorded_keys import SeenKey
from crypto_core.compliance.snapshot import MissingPart, Snapshot, SnapshotPart

_PARTS = (SnapshotPart.TOKENS, SnapshotPart.KEYS, SnapshotPart.SETTINGS, SnapshotPart.CRYPTOGRAPHY)
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://keydeck.invalid/ns/cbom")


def bill_document(
    snapshot: Snapshot, context: PackContext, record: int = 0, former: Sequence[SeenKey] = ()
) -> bytes:
    """Return the document. `record` is the number of the record that has the snapshot; 0 for none.

    `former` are keys that the snapshot has no longer.
    """
    bill = Bill()
    facts = _Facts(snapshot)
    algorithms = algorithms_in_use(snapshot)
    cryptography = facts.cryptography
    signing = cryptography.signing_keys if cryptography else ()
    add_algorithms(bill, algorithms, kms_uses(facts.keys, signing))
    for key in facts.keys:
        add_key(bill, key)
    for seen in former:
        add_former_key(bill, seen)
    for signer in signing:
        add_signing_key(bill, signer)
    if facts.tokens is not None:
        add_columns(bill, facts.tokens, facts.keys, algorithms)
    for endpoint in cryptography.endpoints if cryptography else ():
        add_endpoint(bill, endpoint)
    root = _root(context)
    values = {
        "measured-at": snapshot.taken_at.isoformat() if snapshot.parts else None,
        "record": record or None,
        "made-by": context.made_by,
        "quantum-readiness": quantum_readiness(algorithms),
        "not-known": tuple(facts.lacking()),
        "fips": tuple(_modules(cryptography)),
    }
    named = f"{context.database_id}/{snapshot.taken_at.isoformat()}/{context.made_at.isoformat()}"
    bom = Bom(
        components=bill.components.values(),
        serial_number=uuid.uuid5(_NAMESPACE, named),
        metadata=BomMetaData(
            timestamp=context.made_at,
            component=root,
            tools=ToolRepository(components=[_keydeck(context)]),
            lifecycles=[PredefinedLifecycle(phase=LifecyclePhase.OPERATIONS)],
            properties=properties(values),
        ),
        dependencies=bill.dependencies(root),
    )
    return (JsonV1Dot6(bom).output_as_string(indent=1) + "\n").encode()


class _Facts:
    """A snapshot's parts, as far as a bill is about them and they are there."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._found = {part: snapshot.part(part) for part in _PARTS}
        tokens = self._found[SnapshotPart.TOKENS]
        keys = self._found[SnapshotPart.KEYS]
        cryptography = self._found[SnapshotPart.CRYPTOGRAPHY]
        self.tokens = tokens if isinstance(tokens, TokenFacts) else None
        self.keys: tuple[KeyFact, ...] = keys.keys if isinstance(keys, GuardingKeyFacts) else ()
        self.cryptography = cryptography if isinstance(cryptography, CryptographyFacts) else None

    def lacking(self) -> Iterator[str]:
        """Yield what is not known, and why."""
        for part, found in self._found.items():
            if isinstance(found, MissingPart):
                yield f"{part}: {found.reason}"
        yield from self.tokens.gaps if self.tokens else ()
        yield from self.cryptography.gaps if self.cryptography else ()


def _modules(cryptography: CryptographyFacts | None) -> Iterator[str]:
    for one in cryptography.modules if cryptography else ():
        fips = {True: "in FIPS mode", False: "not in FIPS mode", None: "FIPS mode not known"}[one.fips]
        yield f"{one.what}, {one.version}: {fips}"


def _root(context: PackContext) -> Component:
    of = f" of database {text(context.database_id)}" if context.database_id else ""
    return Component(name=f"Token encryption{of}", type=ComponentType.APPLICATION, bom_ref="system")


def _keydeck(context: PackContext) -> Component:
    return Component(
        name="Keydeck", type=ComponentType.APPLICATION, version=text(context.version), bom_ref="tool"
    )
