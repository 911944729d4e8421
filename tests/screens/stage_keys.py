"""Keys in memory: what they are, how they are changed and replaced."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from threading import Event
from typing import TYPE_CHECKING

from crypto_core.database.tokens.sweep.full_read import ReadingProgress
from crypto_core.guard.consent import Consent, require
from crypto_core.incidents.keys.rotation.guide import Guide
from crypto_core.keys.changes.blocks import Block, Blocks
from crypto_core.keys.changes.change import ChangeKind, KeyChange, check
from crypto_core.keys.changes.plan import ChangePlan, ChangeResult
from crypto_core.keys.dependent_copies import NeedingCopies
from crypto_core.keys.policy.block_statement import arns_of
from crypto_core.keys.policy.document import parse_policy
from crypto_core.keys.policy.policy_reader import KeyPolicy
from crypto_core.keys.state import KeyState
from crypto_core.reencryption.materials import KeyMaterials
from crypto_core.reencryption.plan import RunProgress
from crypto_core.values.errors import ReadOnlyError, RefusedError
from tests.screens.samples import NOW

if TYPE_CHECKING:
    from tests.screens.stage import Stage


@dataclass
class StageKeys:
    stage: Stage

    def list(self) -> tuple[KeyState, ...]:
        self.stage.enter("keys")
        return self.stage.keys

    def show(self, name: str) -> KeyState:
        self.stage.enter("show")
        return next(k for k in self.stage.keys if name in (k.key_arn, *k.aliases))

    def targets(self) -> tuple[KeyState, ...]:
        self.stage.enter("targets")
        return tuple(k for k in self.stage.keys if k.usable)


@dataclass
class StageCopies:
    stage: Stage

    def needing(self, key_arn: str) -> NeedingCopies:
        self.stage.enter("copies")
        return self.stage.copies


@dataclass
class StagePolicies:
    stage: Stage

    def read(self, name: str) -> KeyPolicy:
        self.stage.enter("policy")
        key = next(k for k in self.stage.keys if name in (k.key_arn, *k.aliases))
        text = json.dumps(self.stage.policy)
        return KeyPolicy(key, text, parse_policy(text), self.stage.grants, self.stage.policy_missing)


_BECOMES = {
    ChangeKind.DISABLE: "Disabled",
    ChangeKind.ENABLE: "Enabled",
    ChangeKind.SCHEDULE_DELETION: "PendingDeletion",
    ChangeKind.CANCEL_DELETION: "Disabled",
}


@dataclass
class StageKeyWork:
    """Changes the state of the stage's keys; everything else is only said to be done."""

    stage: Stage

    def watching_reading(self, show: Callable[[ReadingProgress], None]) -> AbstractContextManager[None]:
        """Nothing is read in full on the stage; how far it would be is shown once."""
        show(ReadingProgress("public.audit", 1, 2))
        return nullcontext()

    def plan_change(self, change: KeyChange, *, cancelled: Event | None = None) -> ChangePlan:
        self.stage.enter("key change", cancelled)
        check(change)
        self.stage.changes.append(change)
        key = next((k for k in self.stage.keys if change.key in (k.key_arn, *k.aliases)), None)
        state = (key.state or "?") if key else "-"
        plan = ChangePlan(
            change=change,
            title=change.kind.value.capitalize().replace("-", " "),
            key_arn=key.key_arn if key else "",
            key_name=key.name if key else "a new key",
            region="eu-west-1",
            seen={"state": state},
            expected={"state": _BECOMES.get(change.kind, state)},
            operations=("SomeOperation",),
            confirmation=key.name if key else "",
            does=("It does this.",),
            does_not=("It does not do that.",),
            warnings=("Beware.",),
        )
        return replace(plan, **self.stage.change_more)  # type: ignore[arg-type]

    def read_blocks(self, keys: Iterable[str], *, cancelled: Event | None = None) -> Blocks:
        self.stage.enter("key blocks", cancelled)
        asked = tuple(keys)
        return Blocks(tuple(b for b in self.stage.blocks if b.key_arn in asked), self.stage.block_gaps)

    def make_change(
        self, plan: ChangePlan, consent: Consent | None, *, cancelled: Event | None = None
    ) -> ChangeResult:
        if self.stage.read_only:
            raise ReadOnlyError("Read-only: nothing is changed.")
        require(consent, plan)
        self.stage.enter("key run", cancelled)
        state = plan.expected["state"]
        self.stage.keys = tuple(
            replace(k, state=state) if k.key_arn == plan.key_arn else k for k in self.stage.keys
        )
        change = plan.change
        if change.kind is ChangeKind.BLOCK:
            by = self.stage.place.identity
            block = Block(plan.key_arn, change.principal, arns_of(change.principal), NOW, by)
            self.stage.blocks = (*self.stage.blocks, block)
        elif change.kind is ChangeKind.UNBLOCK:
            self.stage.blocks = tuple(b for b in self.stage.blocks if not b.refuses(change.principal))
        result = ChangeResult(plan, plan.key_arn, verified=True, facts=plan.facts, done=plan.operations)
        return replace(result, **self.stage.result_more)  # type: ignore[arg-type]


@dataclass
class StageReplacement:
    stage: Stage

    def read_guide(
        self,
        old: str,
        new: str | None = None,
        *,
        since: datetime | None = None,
        accepted: Sequence[str] = (),
        cancelled: Event | None = None,
    ) -> Guide:
        self.stage.enter("replacement", cancelled)
        self.stage.looked.append((old, new))
        if self.stage.guide is None:
            raise RefusedError(f"{old} can't be replaced here.")
        return self.stage.guide


@dataclass
class StageMaterials:
    stage: Stage

    def examine_materials(
        self,
        key: str,
        *,
        verify: int = 0,
        progress: Callable[[RunProgress], None] | None = None,
        cancelled: Event | None = None,
    ) -> KeyMaterials:
        self.stage.enter("materials", cancelled)
        raise RefusedError(f"The materials of {key} are not told here.")
