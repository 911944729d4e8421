"""Published standards that rules name: techniques of MITRE ATT&CK, and controls of CIS and AWS FSBP.

Techniques are those of Enterprise, cloud matrix (IaaS), version 19.2. Since version 19, tactic TA0005 is
Stealth, and what disables defences is of TA0112, Defense Impairment.
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


CIS = "CIS AWS Foundations v7.0.0"
FSBP = "AWS Security Hub"
NIST_53 = "NIST SP 800-53"
NIST_57 = "NIST SP 800-57 Part 1"
PCI = "PCI DSS v4.0.1"
CIS_V8 = "CIS Controls v8.1"


@dataclass(frozen=True, slots=True)
class Control:
    standard: str
    number: str

    @property
    def words(self) -> str:
        return f"{self.standard} {self.number}"


CONTROLS: dict[str, Control] = {}


def _control(standard: str, number: str) -> str:
    control = Control(standard, number)
    CONTROLS[control.words] = control
    return control.words


CIS_ADMINISTRATION = _control(CIS, "2.14")
CIS_PUBLIC = _control(CIS, "2.21")
CIS_TRAIL = _control(CIS, "4.1")
CIS_VALIDATION = _control(CIS, "4.2")
CIS_BUCKET_LOGGING = _control(CIS, "4.4")
CIS_TRAIL_ENCRYPTION = _control(CIS, "4.5")
CIS_ROTATION = _control(CIS, "4.6")

HUB_MANAGED_DECRYPT = _control(FSBP, "KMS.1")
HUB_INLINE_DECRYPT = _control(FSBP, "KMS.2")
HUB_DELETION = _control(FSBP, "KMS.3")
HUB_ROTATION = _control(FSBP, "KMS.4")
HUB_PUBLIC = _control(FSBP, "KMS.5")
HUB_TRAIL = _control(FSBP, "CloudTrail.1")
HUB_TRAIL_ENCRYPTION = _control(FSBP, "CloudTrail.2")
HUB_VALIDATION = _control(FSBP, "CloudTrail.4")
HUB_BUCKET_PUBLIC = _control(FSBP, "CloudTrail.6")
HUB_BUCKET_LOGGING = _control(FSBP, "CloudTrail.7")

SEPARATION = _control(NIST_53, "AC-5")
LEAST_PRIVILEGE = _control(NIST_53, "AC-6")
AUDIT_FAILURES = _control(NIST_53, "AU-5")
AUDIT_PROTECTION = _control(NIST_53, "AU-9")
AUDIT_RECORDS = _control(NIST_53, "AU-12")
KEY_AVAILABILITY = _control(NIST_53, "SC-12(1)")
AT_REST = _control(NIST_53, "SC-28")
INTEGRITY = _control(NIST_53, "SI-7")
INPUT = _control(NIST_53, "SI-10")
CRYPTOPERIOD = _control(NIST_57, "5.3")

PCI_KEY_CHANGES = _control(PCI, "3.7.4")
PCI_KEY_RETIREMENT = _control(PCI, "3.7.5")
PCI_LEAST_PRIVILEGE = _control(PCI, "7.2.2")
DATA_INVENTORY = _control(CIS_V8, "3.2")
