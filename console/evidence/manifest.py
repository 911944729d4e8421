"""What evidence for auditors adds: controls, records, packs, and the screen of compliance."""

from __future__ import annotations

from console.capabilities import AddedCommand, AddedDuty, AddedPage, Manifest

_CHAPTER = "Under control"

MANIFEST = Manifest(
    "evidence",
    commands={
        "evidence": AddedCommand("Controls of SOC 2, PCI DSS, ISO 27001, …; a record every day.", "approvals")
    },
    pages={
        "compliance": AddedPage(
            _CHAPTER,
            "Which controls of SOC 2, PCI DSS, ISO 27001, ASVS, OWASP and NIST are met.",
            "approvals",
        ),
        "evidence-pack": AddedPage(
            _CHAPTER,
            "A period as a folder for an auditor: what is in it, and how it is verified.",
            "cryptography",
        ),
        "outsider": AddedPage(
            _CHAPTER, "Verify packs and journals without Keydeck: for an auditor.", "evidence-pack"
        ),
    },
    extras={"cbom": ("cyclonedx",)},
    services=dict.fromkeys(("compliance", "periods"), "console.evidence.services:EvidenceServices"),
    settings="console.evidence.settings:EvidenceSettings",
    screens={"compliance": "findings"},
    duties={
        "evidence": AddedDuty(3_600, "record evidence, once a day", "console.evidence.services:record_today")
    },
    parts={"controls": "console.evidence.controls_part"},
    checks=("crypto_core.compliance.records.daily_check:RECORDS_CHECK",),
    endpoint_checks="crypto_core.compliance.algorithms.aws_endpoints:look_at_connections",
    schemas={
        "control": ("crypto_core.compliance.assessment:Judgement",),
        "control-period": ("crypto_core.compliance.period.period:ControlPeriod",),
        "evidence-record": ("crypto_core.compliance.records.daily_record:RecordedDay",),
        "pack-check": ("crypto_core.compliance.pack.verification:PackCheck",),
    },
)
