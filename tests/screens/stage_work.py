"""Rows in memory that are written anew and opened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Event
from typing import TYPE_CHECKING

from crypto_core.envelope import Format
from crypto_core.guard.consent import Consent, require
from crypto_core.lists.coverage import Coverage, Evidence
from crypto_core.reencryption.plan import (
    Plan,
    RunProgress,
    RunResult,
    Selection,
    Unwritten,
    Verb,
    Verification,
)
from crypto_core.values.errors import ReadOnlyError
from crypto_core.values.references import TokenRef
from tests.screens.samples import CURRENT, MATERIALS
from tests.screens.stage_rows import StageInventory

if TYPE_CHECKING:
    from tests.screens.stage import Stage

NO_RECOVERY = "Rewrap is no recovery from a compromise: the data keys stay the same."
"""As the planner warns."""


@dataclass
class StageWork:
    stage: Stage

    def plan_reencryption(
        self, verb: Verb, selection: Selection, target: str, *, allow_downgrade: bool = False
    ) -> Plan:
        self.stage.enter("plan")
        rows = StageInventory(self.stage).selected(selection)
        fitting = {True: Format.V1, False: Format.PLAINTEXT}[verb is not Verb.ENCRYPT]
        good = [r for r in rows if r.format is fitting or (r.format is Format.DEV and verb is Verb.ENCRYPT)]
        refused = tuple(
            Unwritten(
                str(r.ref),
                "It is an envelope already." if r.format.protected else "It is no envelope: encrypt it.",
            )
            for r in rows
            if r not in good
        )
        warnings: tuple[str, ...] = ("role/platform may not use kms:Decrypt under this key.",)
        if verb is Verb.REWRAP:
            warnings = (NO_RECOVERY, *warnings)
        plan = Plan(
            verb=verb,
            selection=Selection(references=tuple(r.ref for r in good)),
            target_key_arn=target,
            target_name="alias/tokens",
            tokens=len(good),
            by_column=Counter(f"{r.ref.table}.{r.ref.column}" for r in good),
            refused=refused,
            warnings=warnings,
            coverage=Coverage(),
        )
        return replace(plan, **self.stage.plan_more)  # type: ignore[arg-type]

    def run_plan(
        self,
        plan: Plan,
        consent: Consent | None,
        *,
        progress: Callable[[RunProgress], None] | None = None,
        cancelled: Event | None = None,
    ) -> RunResult:
        if self.stage.read_only:
            raise ReadOnlyError("Read-only: nothing is written.")
        require(consent, plan)
        refs = [ref for ref in plan.selection.references if isinstance(ref, TokenRef)]
        if progress:
            progress(RunProgress(len(refs), 0, 0, 0, 0.5))
        self.stage.enter("run")
        done = 0
        for ref in refs:
            if cancelled is not None and cancelled.is_set():
                break
            at = self.stage.index(ref)
            self.stage.rows[at] = replace(
                self.stage.rows[at],
                format=Format.V1,
                plaintext_provider=None,
                key_arn=plan.target_key_arn,
                key_material_id=MATERIALS[2],
                evidence=Evidence.VERIFIED,
            )
            done += 1
        return RunResult(
            verb=plan.verb,
            target_key_arn=plan.target_key_arn,
            planned=len(refs),
            done=done,
            conflicts_retried=0,
            poisoned=(),
            changed_meanwhile=0,
            remaining=len(refs) - done,
            seconds=0.5,
            kms_calls=done * plan.verb.calls_per_token(),
            interrupted=done < len(refs),
        )

    def verify_tokens(
        self,
        selection: Selection,
        *,
        progress: Callable[[RunProgress], None] | None = None,
        cancelled: Event | None = None,
    ) -> tuple[Verification, ...]:
        self.stage.enter("verify")
        answers = []
        for row in StageInventory(self.stage).selected(selection):
            ref = row.ref
            at = self.stage.index(ref)
            opened = row.format.protected
            if opened:
                self.stage.rows[at] = replace(row, evidence=Evidence.VERIFIED, key_arn=row.key_arn or CURRENT)
            answers.append(
                Verification(
                    ref,
                    opened,
                    row.key_arn,
                    row.key_material_id,
                    "" if opened else f"It is stored as {row.format.value}.",
                )
            )
        return tuple(answers)
