"""keydeck evidence: controls and what shows that they are met. Each subcommand is imported when used."""

from __future__ import annotations

import click

from console.lazy_commands import LazyGroup

_COMMANDS: dict[str, tuple[str, str]] = {
    "cbom": ("console.evidence.pack", "Algorithms, keys and what they protect, as CycloneDX."),
    "status": ("console.evidence.status", "Which controls are met now, the worst first."),
    "schedule": ("console.evidence.record", "Print what makes a record every day."),
    "review": ("console.evidence.review", "Who may use the keys, and who did: note that you looked."),
    "pack": ("console.evidence.pack", "A period as a folder for an auditor, signed."),
    "record": ("console.evidence.record", "Measure everything, and keep that, signed."),
    "verify": ("console.evidence.verify", "Is a pack what was signed, and what its records give?"),
    "verifier": ("console.evidence.verifier", "Write the outsider's program that verifies packs."),
}


@click.group(cls=LazyGroup, table=_COMMANDS)
def evidence() -> None:
    """What an auditor asks for: controls of SOC 2, PCI DSS, ISO 27001, ASVS, OWASP and NIST, and evidence."""
