"""The techniques of MITRE ATT&CK that rules name: Enterprise, cloud matrix (IaaS), version 19.2.

Since version 19, tactic TA0005 is Stealth, and what disables defences is of TA0112, Defense Impairment.
"""

from __future__ import annotations

from dataclasses import dataclass

VERSION = "19.2"


@dataclass(frozen=True, slots=True)
class Technique:
    """One technique. `parent` is the name of the technique that it is a part of, "" for a whole one."""

    id: str
    name: str
    tactics: tuple[tuple[str, str], ...]
    parent: str = ""

    @property
    def words(self) -> str:
        return f"{self.id} {f'{self.parent}: ' if self.parent else ''}{self.name}"


_INITIAL = ("TA0001", "Initial Access")
_PERSISTENCE = ("TA0003", "Persistence")
_ESCALATION = ("TA0004", "Privilege Escalation")
_STEALTH = ("TA0005", "Stealth")
_CREDENTIALS = ("TA0006", "Credential Access")
_DISCOVERY = ("TA0007", "Discovery")
_COLLECTION = ("TA0009", "Collection")
_IMPACT = ("TA0040", "Impact")
_IMPAIRMENT = ("TA0112", "Defense Impairment")

TECHNIQUES: dict[str, Technique] = {}


def _technique(id_: str, name: str, *tactics: tuple[str, str], parent: str = "") -> str:
    TECHNIQUES[id_] = Technique(id_, name, tactics, parent)
    return id_


STEAL_TOKEN = _technique("T1528", "Steal Application Access Token", _CREDENTIALS)
CLOUD_SECRETS = _technique(
    "T1555.006", "Cloud Secrets Management Stores", _CREDENTIALS, parent="Credentials from Password Stores"
)
CLOUD_ACCOUNTS = _technique(
    "T1078.004", "Cloud Accounts", _STEALTH, _PERSISTENCE, _ESCALATION, _INITIAL, parent="Valid Accounts"
)
DISCOVERY = _technique("T1580", "Cloud Infrastructure Discovery", _DISCOVERY)
DATABASES = _technique("T1213.006", "Databases", _COLLECTION, parent="Data from Information Repositories")
DESTRUCTION = _technique("T1485", "Data Destruction", _IMPACT)
LIFECYCLE_DELETION = _technique(
    "T1485.001", "Lifecycle-Triggered Deletion", _IMPACT, parent="Data Destruction"
)
ENCRYPTED = _technique("T1486", "Data Encrypted for Impact", _IMPACT)
NO_RECOVERY = _technique("T1490", "Inhibit System Recovery", _IMPACT)
CLOUD_LOGS = _technique(
    "T1685.002", "Disable or Modify Cloud Log", _IMPAIRMENT, parent="Disable or Modify Tools"
)
CLOUD_ROLES = _technique(
    "T1098.003", "Additional Cloud Roles", _PERSISTENCE, _ESCALATION, parent="Account Manipulation"
)


def in_words(ids: tuple[str, ...]) -> str:
    return ", ".join(TECHNIQUES[id_].words if id_ in TECHNIQUES else id_ for id_ in ids)
