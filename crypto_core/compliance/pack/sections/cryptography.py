"""Which algorithms protect what, what TLS with AWS comes to, and which OpenSSLs are in FIPS mode."""

from __future__ import annotations

from crypto_core.algorithms.aws_endpoints import EndpointFact
from crypto_core.algorithms.openssl_modules import OpensslModule
from crypto_core.compliance.facts import AlgorithmFact, CryptographyFacts, SigningKeyFact
from crypto_core.compliance.period.period import AuditPeriod
from crypto_core.compliance.snapshot import MissingPart, SnapshotPart
from crypto_core.reports.cells import CellValue, ShownSection, code, facts, table
from crypto_core.reports.masking import masked
from crypto_core.text.counting import counted, listed

_ID, _TITLE = "cryptography", "Cryptography"
_MOST = 3


def cryptography(period: AuditPeriod) -> ShownSection:
    found = period.newest(SnapshotPart.CRYPTOGRAPHY)
    if not isinstance(found, CryptographyFacts):
        reason = found.reason if isinstance(found, MissingPart) else "the record has something else"
        return ShownSection(_ID, _TITLE, lead=f"Not known: {masked(reason)}.")
    found = masked(found)
    return ShownSection(
        _ID,
        _TITLE,
        lead=(
            f"By the record of {period.records[-1].day}. Security in bits is by NIST SP 800-57 part 1, the "
            "category against quantum computers NIST's, 0 to 5. Connections are those of Keydeck's machine."
        ),
        facts=facts(
            ("FIPS mode", _fips(found)),
            ("AWS's FIPS endpoints", _fips_endpoints(found.endpoints)),
            *(("Not known", gap) for gap in found.gaps[:20]),
        ),
        tables=(
            table(
                "Algorithms",
                "What it does|Algorithm|Protects|Bits of security|Against quantum computers|Known by",
                map(_algorithm_row, found.algorithms),
                "No algorithm is known to be in use.",
            ),
            table(
                "Signing keys",
                "Key|Spec and algorithm|State|Use",
                map(_signing_row, found.signing_keys),
                "No signing key is configured.",
            ),
            table(
                "Connections to AWS",
                "Endpoint|Protocol and cipher|Keys agreed on by|Certificate",
                map(_endpoint_row, found.endpoints),
                "No endpoint was looked at.",
            ),
            table("OpenSSL", "Used by|Version|FIPS mode", map(_module_row, found.modules), "None was asked."),
        ),
    )


def _fips(found: CryptographyFacts) -> str:
    if not found.fips_required:
        return "not required (KEYDECK_FIPS is not set)"
    lacking = [one.what for one in found.modules if not one.fips]
    return f"required; not active, or not known, in {', '.join(lacking)}" if lacking else "required, active"


def _fips_endpoints(endpoints: tuple[EndpointFact, ...]) -> str:
    if not endpoints:
        return "not known"
    return f"used for {sum(one.fips for one in endpoints)} of {counted(len(endpoints), 'endpoint')}"


def _algorithm_row(one: AlgorithmFact) -> tuple[CellValue, ...]:
    tokens = "" if one.tokens is None else counted(one.tokens, "token")
    return (
        (one.use, tokens),
        (one.name, f"{one.key_bits:,}-bit key" if one.key_bits else "", one.standard),
        listed(one.protects, _MOST) or "nothing",
        one.classical_bits,
        one.quantum,
        (one.known.value, one.why),
    )


def _signing_row(one: SigningKeyFact) -> tuple[CellValue, ...]:
    until = f"until {one.until:%Y-%m-%d}" if one.until else ""
    return (
        code(one.name, one.arn if one.arn and one.arn != one.name else ""),
        (one.spec or "not known", one.algorithm or "", one.missing),
        one.state or "not known",
        ("signs" if one.signs else "verifies only", until),
    )


def _endpoint_row(one: EndpointFact) -> tuple[CellValue, ...]:
    certificate = one.certificate
    ends = f"until {certificate.not_after:%Y-%m-%d}" if certificate else ""
    signature = f"signed by {certificate.signature}" if certificate else ""
    return (
        code(one.host, f"{', '.join(one.services)} in {one.region}"),
        (one.protocol or one.problem or "not known", one.cipher or ""),
        one.group or "not known",
        (_key(one), signature, ends),
    )


def _key(one: EndpointFact) -> str:
    if one.certificate is None:
        return "none" if not one.encrypted else "not known"
    return f"{one.certificate.key} {one.certificate.key_bits or ''}".rstrip()


def _module_row(one: OpensslModule) -> tuple[CellValue, ...]:
    mode = "not known" if one.fips is None else "active" if one.fips else "not active"
    return (one.what, one.computes), code(one.version), (mode, one.why)
