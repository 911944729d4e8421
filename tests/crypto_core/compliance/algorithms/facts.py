"""How a connection to AWS stands where nothing is wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from crypto_core.compliance.algorithms.aws_endpoints import EndpointFact
from crypto_core.compliance.algorithms.tls_probe import CertificateFact
from crypto_core.values.clean_text import clean

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
CERTIFICATE = CertificateFact(
    subject=clean("CN=kms.eu-west-1.amazonaws.com"),
    issuer=clean("CN=Amazon"),
    serial=clean("1f"),
    key=clean("RSA"),
    key_bits=2048,
    key_classical_bits=112,
    signature=clean("RSA_WITH_SHA256"),
    signature_oid=clean("1.2.840.113549.1.1.11"),
    not_before=NOW - 30 * DAY,
    not_after=NOW + 300 * DAY,
    sha256=clean("ab" * 32),
)
ENDPOINT = EndpointFact(
    services=(clean("kms"),),
    region=clean("eu-west-1"),
    host=clean("kms.eu-west-1.amazonaws.com:443"),
    encrypted=True,
    fips=False,
    protocol=clean("TLSv1.3"),
    cipher=clean("TLS_AES_128_GCM_SHA256"),
    cipher_bits=128,
    group=clean("X25519MLKEM768"),
    certificate=CERTIFICATE,
)
