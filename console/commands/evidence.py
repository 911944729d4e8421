"""keydeck evidence: controls and what shows that they are met. Each subcommand is imported when used."""

from __future__ import annotations

import click

from console.lazy_commands import LazyGroup

_COMMANDS: dict[str, tuple[str, str]] = {
    "cbom": ("console.commands.evidence_cbom", "Algorithms, keys and what they protect, as CycloneDX."),
    "status": ("console.commands.evidence_status", "Which controls are met now, the worst first."),
    "schedule": ("console.commands.evidence_schedule", "Print what makes a record every day."),
    "review": (
        "console.commands.evidence_review",
        "Who may use the keys, and who did: note that you looked.",
    ),
    "pack": ("console.commands.evidence_pack", "A period as a folder for an auditor, signed."),
    "record": ("console.commands.evidence_record", "Measure everything, and keep that, signed."),
    "verify": ("console.commands.evidence_verify", "Is a pack what was signed, and what its records give?"),
    "verifier": ("console.commands.evidence_verifier", "Write the outsider's program that verifies packs."),
}


@click.group(cls=LazyGroup, table=_COMMANDS)
def evidence() -> None:
    """What an auditor asks for: controls of SOC 2, PCI DSS, ISO 27001, ASVS, OWASP and NIST, and evidence."""
