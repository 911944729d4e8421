"""Runbooks in memory: a compromised key, a compromised token, a restored database."""

from __future__ import annotations

from crypto_core.incidents.runbooks.catalogue import (
    ActionKind,
    CaptureKind,
    CheckKind,
    PhaseKind,
    SubjectKind,
)
from crypto_core.incidents.runbooks.runbook import Phase, Runbook, RunbookStep, StepCondition

KEY_COMPROMISE = Runbook(
    id="key-compromise",
    version=3,
    title="KMS key compromise",
    subject=SubjectKind.KEY,
    summary="Somebody else could use the key. Move every token to a new key with new data keys, "
    "prove it, then end the old one.",
    digest="5c" * 32,
    phases=(
        Phase(
            PhaseKind.DETECT,
            "Detect",
            (
                RunbookStep(
                    "declare",
                    "Declare and count",
                    "What the incident is about is there and counted, so that nothing is missed later.",
                    who="responder",
                    check=CheckKind.SCOPE_KNOWN,
                    captures=(CaptureKind.CENSUS,),
                    budget_seconds=300,
                ),
                RunbookStep(
                    "preserve",
                    "Preserve evidence",
                    "Key, policy, grants and use are kept as they are now, each with its hash, "
                    "before anything changes.",
                    who="responder",
                    check=CheckKind.EVIDENCE_CAPTURED,
                    captures=(CaptureKind.KEY, CaptureKind.POLICY, CaptureKind.GRANTS, CaptureKind.KEY_USE),
                    budget_seconds=600,
                ),
            ),
        ),
        Phase(
            PhaseKind.CONTAIN,
            "Contain",
            (
                RunbookStep(
                    "new-key",
                    "Make the new key",
                    "Tokens need another key to go to. Whoever reads under the old one must be able "
                    "to read under it.",
                    who="responder",
                    action=ActionKind.CREATE_KEY,
                    check=CheckKind.NEW_KEY_READY,
                    captures=(CaptureKind.KEY,),
                    budget_seconds=600,
                ),
                RunbookStep(
                    "switch",
                    "Switch the platform",
                    "From now on the platform seals under the new key: the old one gets no new tokens.",
                    who="the platform's team",
                    do=(
                        "Set `TOKEN_ENCRYPTION_KEY_ID={new_key}` where the platform reads it.",
                        "By alias: `keydeck keys alias {alias} {new_key}`",
                        "Restart it, and wait until CloudTrail shows GenerateDataKey under {new_key}.",
                    ),
                    check=CheckKind.PLATFORM_SWITCHED,
                    captures=(CaptureKind.EVENTS,),
                    budget_seconds=1_200,
                ),
                RunbookStep(
                    "lock-down",
                    "Lock the old key down",
                    "Only the responder still decrypts with it; whoever else could, no longer can.",
                    who="responder",
                    action=ActionKind.LOCK_DOWN_KEY,
                    check=CheckKind.KEY_LOCKED_DOWN,
                    captures=(CaptureKind.POLICY,),
                    budget_seconds=600,
                ),
            ),
        ),
        Phase(
            PhaseKind.ERADICATE,
            "Eradicate",
            (
                RunbookStep(
                    "reencrypt",
                    "Re-encrypt every token",
                    "New data keys for every token under the old key. Rewrap would not do: who could "
                    "call Decrypt already holds the data keys.",
                    who="responder",
                    action=ActionKind.REENCRYPT,
                    check=CheckKind.NOTHING_UNDER_KEY,
                    captures=(CaptureKind.JOB, CaptureKind.CENSUS),
                    on_failure="Look at the job's errors on Jobs, repair these rows, and run the step again.",
                    budget_seconds=1_800,
                ),
                RunbookStep(
                    "leaked",
                    "Did the database leak too?",
                    "Were backups or dumps exposed, the old data keys open what is in them. "
                    "Then only new tokens help.",
                    who="incident lead",
                    choices=("no: only the key was exposed", "yes: the database or a backup leaked"),
                    undecided="yes: the database or a backup leaked",
                    budget_seconds=900,
                ),
                RunbookStep(
                    "revoke",
                    "Revoke the tokens",
                    "What was opened elsewhere stays open until its provider revokes it.",
                    who="responder",
                    action=ActionKind.REVOKE_TOKENS,
                    check=CheckKind.TOKENS_DEAD,
                    only_if=StepCondition("leaked", "yes: the database or a backup leaked"),
                    budget_seconds=3_600,
                ),
            ),
        ),
        Phase(
            PhaseKind.RECOVER,
            "Recover",
            (
                RunbookStep(
                    "quiet",
                    "Quiet period",
                    "Nobody uses the old key any more: whoever still would shows before it is disabled.",
                    who="responder",
                    check=CheckKind.KEY_QUIET,
                    check_options={"minutes": 30},
                    captures=(CaptureKind.KEY_USE,),
                    budget_seconds=3_600,
                ),
                RunbookStep(
                    "disable",
                    "Disable the old key",
                    "It can be enabled again should something have been missed.",
                    who="responder",
                    action=ActionKind.DISABLE_KEY,
                    check=CheckKind.KEY_STATE,
                    check_options={"state": "Disabled"},
                    budget_seconds=600,
                ),
            ),
        ),
        Phase(
            PhaseKind.CLOSE,
            "Close",
            (
                RunbookStep(
                    "review",
                    "Review what was learnt",
                    "How was the key exposed, what would have shown it earlier, who has to know?",
                    who="incident lead",
                ),
            ),
        ),
    ),
)
TOKEN_COMPROMISE = Runbook(
    id="token-compromise",
    version=2,
    title="Token compromise",
    subject=SubjectKind.TOKENS,
    summary="Tokens may be in other hands: revoke them at their providers, take new ones, prove both.",
    digest="7d" * 32,
    phases=(
        Phase(
            PhaseKind.CONTAIN,
            "Contain",
            (
                RunbookStep(
                    "enter",
                    "Enter the new token",
                    "The old one is dead: take the new one from its owner, and seal it.",
                    action=ActionKind.ENTER_TOKEN,
                    check=CheckKind.TOKENS_REPLACED,
                ),
            ),
        ),
    ),
)
RESTORE_DRILL = Runbook(
    id="restore-drill",
    version=1,
    title="Restore drill",
    subject=SubjectKind.DATABASE,
    summary="A restored database opens with the keys that there are.",
    digest="9e" * 32,
    phases=(
        Phase(
            PhaseKind.RECOVER,
            "Recover",
            (RunbookStep("verify", "Verify", "Open a sample.", action=ActionKind.VERIFY_RESTORED),),
        ),
    ),
)
