"""What was assessed and by what, as local definitions of OSCAL: the database, its keys, Keydeck."""

from __future__ import annotations

from dataclasses import dataclass

from crypto_core.compliance.algorithm_uses import use_of_key
from crypto_core.compliance.facts import GuardingKeyFacts, KeyFact
from crypto_core.compliance.pack.algorithms_in_use import algorithms_in_use, quantum_readiness
from crypto_core.compliance.pack.context import PackContext
from crypto_core.compliance.pack.newest import newest_part
from crypto_core.compliance.pack.oscal_datatypes import Json, OscalNames, filled, line, markup, prop, props
from crypto_core.compliance.period.period import AuditPeriod
from crypto_core.compliance.snapshot import MissingPart, SnapshotPart


@dataclass(frozen=True, slots=True)
class OscalSystem:
    """The system of one result, by the newest record."""

    period: AuditPeriod
    context: PackContext
    names: OscalNames
    result: str

    @property
    def origins(self) -> list[Json]:
        """By whom something was found: by Keydeck."""
        return [{"actors": [{"type": "tool", "actor-uuid": self._of("tool")}]}]

    @property
    def subjects(self) -> list[Json]:
        """What was looked at: the database and its keys."""
        return [{"subject-uuid": self._of("database"), "type": "component", "title": "The token database"}]

    def as_json(self) -> Json:
        """Return the definitions as OSCAL has them."""
        return filled(
            components=[self._database()],
            inventory_items=list(map(self._key, self._keys())),
            assessment_assets={"components": [self._tool()], "assessment-platforms": [self._machine()]},
        )

    def _of(self, *parts: str) -> str:
        return self.names.of(self.result, *parts)

    def _database(self) -> Json:
        found = newest_part(self.period, SnapshotPart.KEYS)
        lacking = found.reason if isinstance(found, MissingPart) else ""
        return filled(
            uuid=self._of("database"),
            type="system",
            title="The token database",
            description=markup(
                "A PostgreSQL database that holds API tokens, and the KMS keys that guard them."
            ),
            props=[
                *props({"database-id": self.context.database_id, "keys-not-known": lacking}),
                *(prop("quantum-readiness", one) for one in self._readiness()),
            ],
            status={"state": "operational"},
        )

    def _tool(self) -> Json:
        return filled(
            uuid=self._of("tool"),
            type="software",
            title="Keydeck",
            description="Measures how tokens are encrypted, and keeps the records.",
            props=props({"version": self.context.version}),
            status={"state": "operational"},
        )

    def _machine(self) -> Json:
        return filled(
            uuid=self._of("machine"),
            title=line(self.context.host, "The machine that this document was made on"),
            uses_components=[{"component-uuid": self._of("tool")}],
        )

    def _readiness(self) -> tuple[str, ...]:
        records = self.period.records
        return quantum_readiness(algorithms_in_use(records[-1].snapshot)) if records else ()

    def _keys(self) -> tuple[KeyFact, ...]:
        found = newest_part(self.period, SnapshotPart.KEYS)
        return found.keys if isinstance(found, GuardingKeyFacts) else ()

    def _key(self, key: KeyFact) -> Json:
        use = use_of_key(key)
        return filled(
            uuid=self._of("key", key.arn),
            description=markup(f"KMS key {key.name}", key.purpose),
            props=props(
                {
                    "arn": key.arn,
                    "state": key.state,
                    "spec": key.spec,
                    "origin": key.origin,
                    "manager": key.manager,
                    "owner": key.owner,
                    "tokens": key.tokens,
                    "algorithm": use.name if use else None,
                    "quantum": use.quantum if use else None,
                }
            ),
            implemented_components=[{"component-uuid": self._of("database")}],
        )
