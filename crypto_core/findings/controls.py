"""The published controls that rules serve (CIS, AWS FSBP), by their standard's version and number."""

from __future__ import annotations

from dataclasses import dataclass

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
