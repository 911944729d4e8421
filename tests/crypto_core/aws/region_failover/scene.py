"""KMS of several Regions, some of which do not answer, and a clock."""

from __future__ import annotations

from typing import Any, cast

from crypto_core.aws.kms import KmsApi

HOME, AWAY, FAR = "eu-west-1", "us-east-1", "ap-southeast-2"


class Outage(KmsApi):
    """KMS of several Regions, some of which do not answer. Notes whom it was asked about where."""

    def __init__(self, *regions: str) -> None:
        super().__init__(regions or [HOME, AWAY], attempts=1)
        self.down: set[str] = set()
        self.asked: list[tuple[str, str]] = []
        # Nothing listens there, so what a down Region answers with is a real client's real failure.
        self._nowhere = KmsApi(regions or [HOME, AWAY], attempts=1, endpoint_url="http://127.0.0.1:9")

    def call(self, operation: str, *, region: str | None = None, **parameters: Any) -> dict[str, Any]:
        where = region or self.regions[0]
        self.asked.append((operation, where))
        if where in self.down:
            return self._nowhere.call(operation, region=where, **parameters)
        return super().call(operation, region=region, **parameters)

    def asked_since(self) -> list[str]:
        """The Regions that were asked since this was last called."""
        regions = [region for _, region in self.asked]
        self.asked.clear()
        return regions


def wrapped(client: Any, key: str) -> bytes:
    return cast(bytes, client.generate_data_key(KeyId=key, KeySpec="AES_256")["CiphertextBlob"])


def replica(primary: str, region: str = AWAY) -> str:
    return primary.replace(HOME, region)
