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
from crypto_core.compliance.facts import CryptographyFacts, GuardingKeyFacts, TokenFacts
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

BILL_PARTS = (
    SnapshotPart.TOKENS,
    SnapshotPart.KEYS,
    SnapshotPart.SETTINGS,
    SnapshotPart.CRYPTOGRAPHY,
)
"""The parts of a snapshot that a bill is made from."""
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://keydeck.invalid/ns/cbom")


def bill_document(
    snapshot: Snapshot, context: PackContext, record: int = 0, former: Sequence[SeenKey] = ()
) -> bytes:
    """Return the document. `record` is the number of the record that has the snapshot; 0 for none.

    `former` are keys that the snapshot has no longer.
    """
    bill = Bill()
    algorithms = algorithms_in_use(snapshot)
    tokens, guarding = snapshot.known(TokenFacts), snapshot.known(GuardingKeyFacts)
    keys = guarding.keys if guarding else ()
    cryptography = snapshot.known(CryptographyFacts)
    signing = cryptography.signing_keys if cryptography else ()
    add_algorithms(bill, algorithms, kms_uses(keys, signing))
    for key in keys:
        add_key(bill, key)
    for seen in former:
        add_former_key(bill, seen)
    for signer in signing:
        add_signing_key(bill, signer)
    if tokens is not None:
        add_columns(bill, tokens, keys, algorithms)
    for endpoint in cryptography.endpoints if cryptography else ():
        add_endpoint(bill, endpoint)
    root = _root(context)
    values = {
        "measured-at": snapshot.taken_at.isoformat() if snapshot.parts else None,
        "record": record or None,
        "made-by": context.made_by,
        "quantum-readiness": quantum_readiness(algorithms),
        "not-known": tuple(_lacking(snapshot)),
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


def _lacking(snapshot: Snapshot) -> Iterator[str]:
    """What is not known, and why."""
    for part in BILL_PARTS:
        found = snapshot.part(part)
        if isinstance(found, MissingPart):
            yield f"{part}: {found.reason}"
    for facts in (snapshot.known(TokenFacts), snapshot.known(CryptographyFacts)):
        yield from facts.gaps if facts else ()


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
