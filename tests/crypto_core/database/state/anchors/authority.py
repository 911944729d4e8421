"""A time-stamping authority of a test's own, over HTTP: OpenSSL's `ts`, with certificates made here."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.http_answers import Answer, Asked, answering

_CONFIG = """
[tsa]
default_tsa = one
[one]
serial = {folder}/serial
crypto_device = builtin
signer_cert = {folder}/tsa.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha384, sha512
accuracy = secs:1
ess_cert_id_alg = sha256
"""


@dataclass
class Authority:
    """Answers POST requests, with a content type of `kind`."""

    folder: Path
    url: str = ""
    asked: list[bytes] = field(default_factory=list)
    kind: str = "application/timestamp-reply"
    status: int = 200
    instead: bytes | None = None
    """What is answered instead of a time stamp."""

    @property
    def roots(self) -> Path:
        return self.folder / "root.pem"

    def stamp(self, request: bytes) -> bytes:
        """The DER answer to a DER request."""
        query, reply = self.folder / "query.tsq", self.folder / "reply.tsr"
        query.write_bytes(request)
        command = ["openssl", "ts", "-reply", "-config", str(self.folder / "ts.cnf"), "-section", "one"]
        subprocess.run(
            [*command, "-queryfile", str(query), "-out", str(reply)], check=True, capture_output=True
        )
        return reply.read_bytes()


def certified(folder: Path) -> None:
    """Make a root and the authority's own certificate, and its configuration."""
    now = datetime.now(UTC)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("Test root", "Test TSA")]
    made = []
    for number, (key, name) in enumerate(zip(keys, names, strict=True)):
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(names[0])
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=number == 0, path_length=None), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(keys[0].public_key()), critical=False
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        if number:
            usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING])
            builder = builder.add_extension(usage, critical=True)
        made.append(builder.sign(keys[0], hashes.SHA256()))
    (folder / "root.pem").write_bytes(made[0].public_bytes(Encoding.PEM))
    (folder / "tsa.pem").write_bytes(made[1].public_bytes(Encoding.PEM))
    private = keys[1].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "tsa.key").write_bytes(private)
    (folder / "serial").write_text("01\n")
    (folder / "ts.cnf").write_text(_CONFIG.format(folder=folder))


@contextmanager
def authority(folder: Path) -> Iterator[Authority]:
    """Give an authority that answers on this machine."""
    folder.mkdir()
    certified(folder)
    one = Authority(folder)

    def answer(asked: Asked) -> Answer:
        one.asked.append(asked.body)
        return (
            one.status,
            {"Content-Type": one.kind},
            one.stamp(asked.body) if one.instead is None else one.instead,
        )

    with answering(answer) as url:
        one.url = f"{url}/tsr"
        yield one
