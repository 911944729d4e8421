"""The techniques of MITRE ATT&CK that rules name: Enterprise, cloud matrix (IaaS), version 17.1."""

from __future__ import annotations

from dataclasses import dataclass

VERSION = "17.1"


@dataclass(frozen=True, slots=True)
class Technique:
    """One technique. `parent` is the name of the technique that it is a part of, "" for a whole one."""

    id: str
    name: str
    tactics: tuple[tuple[str, str], ...]
    """Id and name of each."""
    parent: str = ""

    @property
    def parent_id(self) -> str:
        """The id without its second part."""
        return self.id.partition(".")[0]

    @property
    def words(self) -> str:
        """Id and name."""
        return f"{self.id} {f'{self.parent}: ' if self.parent else ''}{self.name}"


_INITIAL = ("TA0001", "Initial Access")
_PERSISTENCE = ("TA0003", "Persistence")
_ESCALATION = ("TA0004", "Privilege Escalation")
_EVASION = ("TA0005", "Defense Evasion")
_CREDENTIALS = ("TA0006", "Credential Access")
_DISCOVERY = ("TA0007", "Discovery")
_COLLECTION = ("TA0009", "Collection")
_IMPACT = ("TA0040", "Impact")

STEAL_TOKEN = "T1528"  # noqa: S105  a technique
CLOUD_SECRETS = "T1555.006"
CLOUD_ACCOUNTS = "T1078.004"
DISCOVERY = "T1580"
DATABASES = "T1213.006"
DESTRUCTION = "T1485"
ENCRYPTED = "T1486"
NO_RECOVERY = "T1490"
CLOUD_LOGS = "T1562.008"
CLOUD_ROLES = "T1098.003"

TECHNIQUES: dict[str, Technique] = {
    t.id: t
    for t in (
        Technique(STEAL_TOKEN, "Steal Application Access Token", (_CREDENTIALS,)),
        Technique(
            CLOUD_SECRETS,
            "Cloud Secrets Management Stores",
            (_CREDENTIALS,),
            "Credentials from Password Stores",
        ),
        Technique(
            CLOUD_ACCOUNTS,
            "Cloud Accounts",
            (_EVASION, _PERSISTENCE, _ESCALATION, _INITIAL),
            "Valid Accounts",
        ),
        Technique(DISCOVERY, "Cloud Infrastructure Discovery", (_DISCOVERY,)),
        Technique(DATABASES, "Databases", (_COLLECTION,), "Data from Information Repositories"),
        Technique(DESTRUCTION, "Data Destruction", (_IMPACT,)),
        Technique(ENCRYPTED, "Data Encrypted for Impact", (_IMPACT,)),
        Technique(NO_RECOVERY, "Inhibit System Recovery", (_IMPACT,)),
        Technique(CLOUD_LOGS, "Disable or Modify Cloud Logs", (_EVASION,), "Impair Defenses"),
        Technique(CLOUD_ROLES, "Additional Cloud Roles", (_PERSISTENCE, _ESCALATION), "Account Manipulation"),
    )
}


def in_words(ids: tuple[str, ...]) -> str:
    """Techniques by id and name."""
    return ", ".join(TECHNIQUES[id_].words if id_ in TECHNIQUES else id_ for id_ in ids)
