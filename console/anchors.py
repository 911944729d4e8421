"""Where checkpoints of the journal are fixed outside of the database, by the settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from console.settings import Settings
from crypto_core.aws.kms import KmsApi
from crypto_core.database.state.anchors.append_file import AnchorFile
from crypto_core.database.state.anchors.bucket import AnchorBucket
from crypto_core.database.state.anchors.checkpoint_anchors import Anchoring, AnchorOutcome, AnchorStore
from crypto_core.database.state.anchors.time_stamps import TimeStampAuthority, read_roots
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import AnchorError
from crypto_core.values.typed_names import expanded


def anchoring_of(settings: Settings, kms: KmsApi) -> Anchoring:
    """Return where checkpoints of the journal are fixed outside of the database. Asks nobody.

    What is configured and can't be used is told by it wherever it is used.
    """
    stores: list[AnchorStore] = []
    unusable, authority, roots = [], None, None
    if settings.anchor_file:
        stores.append(AnchorFile(expanded(settings.anchor_file)))
    if settings.anchor_bucket:
        bucket, _, prefix = settings.anchor_bucket.removeprefix("s3://").partition("/")

        def read(operation: str, **parameters: Any) -> Mapping[str, Any]:
            return kms.read("s3", operation, region=kms.regions[0], **parameters)

        def write(operation: str, **parameters: Any) -> Mapping[str, Any]:
            return kms.write("s3", operation, region=kms.regions[0], **parameters)

        stores.append(AnchorBucket(read, write, bucket=bucket, prefix=prefix, days=settings.anchor_days))
    try:
        if settings.tsa_certificates:
            roots = read_roots(expanded(settings.tsa_certificates))
    except AnchorError as error:
        unusable.append(AnchorOutcome(clean(settings.tsa_certificates), clean(error, 600)))
    if settings.tsa_url and roots is not None:
        authority = TimeStampAuthority(settings.tsa_url, roots)
    elif settings.tsa_url:
        why = clean("Without KEYDECK_TSA_CERTIFICATES its time stamps can't be verified.")
        unusable.append(AnchorOutcome(clean(settings.tsa_url), why))
    return Anchoring(authority, stores, roots, unusable)
