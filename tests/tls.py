"""Certificates of a test's own, for a server that runs as the sandbox's service user."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from console.sandbox.postgres_files import service_user


class Tls:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key, self.name = ec.generate_private_key(ec.SECP256R1()), "authority of a test"
        self.authority = folder / "ca.pem"
        made = self._certificate(self.name, self.key, days=(-1, 1), authority=True)
        self.authority.write_bytes(made.public_bytes(serialization.Encoding.PEM))

    def _certificate(
        self, host: str, key: ec.EllipticCurvePrivateKey, *, days: tuple[int, int], authority: bool
    ) -> x509.Certificate:
        def named(name: str) -> x509.Name:
            return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])

        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(named(host))
            .issuer_name(named(self.name))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=days[0]))
            .not_valid_after(now + timedelta(days=days[1]))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .sign(self.key, hashes.SHA256())
        )

    @property
    def settings(self) -> dict[str, str]:
        return {
            "client_tls_cert_file": f"{self.folder}/server.crt",
            "client_tls_key_file": f"{self.folder}/server.key",
            "client_tls_sslmode": "require",
        }

    def serve(self, host: str, *, days: tuple[int, int] = (-1, 1)) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        made = self._certificate(host, key, days=days, authority=False)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        for name, content in (
            ("server.crt", made.public_bytes(serialization.Encoding.PEM)),
            ("server.key", private),
        ):
            path = self.folder / name
            path.write_bytes(content)
            path.chmod(0o600)
            if (user := service_user()) is not None:
                user.give(path)
