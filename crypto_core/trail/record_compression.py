"""Records made small: Zstandard with a dictionary of what CloudTrail's records have in common.

Records that come together are much alike, so that some of them are packed as one block, a line each. A block
begins with a number that says how it is made, so that another way can be brought in beside it.
"""

from __future__ import annotations

import sys
from collections.abc import Container, Iterator, Mapping, Sequence
from threading import local
from typing import Any

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_OPTIONS: Mapping[int, int] = {
    zstd.CompressionParameter.checksum_flag: 0,
    zstd.CompressionParameter.dict_id_flag: 0,
}


class DictionaryPacker:
    """Packs and unpacks with one dictionary, which is a part of the format (RFC 8878, 5). Thread-safe."""

    def __init__(self, common: bytes, *, level: int = 3) -> None:
        self._options = {**_OPTIONS, zstd.CompressionParameter.compression_level: level}
        self._dictionary = zstd.ZstdDict(common, is_raw=True)
        # Zstandard's contexts are not for several threads at once.
        self._of_thread = local()

    def pack(self, text: bytes) -> bytes:
        compressor: Any = getattr(self._of_thread, "compressor", None)
        if compressor is None:
            compressor = zstd.ZstdCompressor(
                options=self._options, zstd_dict=self._dictionary.as_digested_dict
            )
            self._of_thread.compressor = compressor
        packed: bytes = compressor.compress(text, zstd.ZstdCompressor.FLUSH_FRAME)
        return packed

    def unpack(self, packed: bytes) -> bytes:
        """Return what was packed. Raises ValueError for what wasn't."""
        try:
            return zstd.decompress(packed, zstd_dict=self._dictionary.as_digested_dict)
        except (zstd.ZstdError, EOFError) as error:
            raise ValueError("not packed with this dictionary") from error


Block = tuple[int, bytes]
"""Packed records, and the place of the first of them among all."""

_ONE, _LINES = b"\x01", b"\x02"
_TOGETHER = 112
"""Records of a block: so many at level 1 of Zstandard take a tenth less than half of them at level 3."""
_LARGEST = 192 * 1024
"""Bytes, unpacked, of a block of several records."""

_COMMON = (
    b'"invokedBy":"AWS Internal"},"sourceIPAddress":"AWS Internal","userAgent":"AWS Internal",'
    b'"errorCode":"AccessDenied","errorMessage":"User: arn:aws:iam:: is not authorized to perform: kms:'
    b" on resource: arn:aws:kms: because no identity-based policy allows the kms: action"
    b'"serviceEventDetails":{"rotationType":"AUTOMATIC","keyOrigin":"AWS_KMS","keyId":"'
    b'"previousKeyMaterialId":"","currentKeyMaterialId":"'
    b'"eventName":"GenerateDataKey","requestParameters":{"keyId":"arn:aws:kms:","keySpec":"AES_256",'
    b'"numberOfBytes":32,"sourceEncryptionContext":{"destinationEncryptionContext":{"destinationKeyId":"'
    b'"encryptionContext":{"keydeck:table":"gh_connection","keydeck:column":"access_token","keydeck:id":"'
    b'"pendingWindowInDays":7,"deletionDate":"","keyState":"PendingDeletion"'
    b'{"eventVersion":"1.11","userIdentity":{"type":"IAMUser","principalId":"AIDA","arn":"arn:aws:iam::'
    b':user/","accountId":"","accessKeyId":"AKIA","userName":"","sessionContext":{"sessionIssuer":{},'
    b'"webIdFederationData":{},"attributes":{"creationDate":"","mfaAuthenticated":"false"}}},'
    b'{"eventVersion":"1.11","userIdentity":{"type":"AssumedRole","principalId":"AROA:","arn":"arn:aws:sts::'
    b':assumed-role/","accountId":"","accessKeyId":"ASIA","sessionContext":{"sessionIssuer":{"type":"Role",'
    b'"principalId":"AROA","arn":"arn:aws:iam:::role/","accountId":"","userName":""},"attributes":'
    b'{"creationDate":"2026-","mfaAuthenticated":"false"}}},"eventTime":"2026-","eventSource":'
    b'"kms.amazonaws.com","eventName":"Decrypt","awsRegion":"eu-west-1","sourceIPAddress":"10.",'
    b'"userAgent":"Boto3/1.40 md/Botocore#1.40 ua/2.1 os/linux lang/python#3.12 aws-sdk-java/2 aws-cli/2",'
    b'"requestParameters":{"encryptionAlgorithm":"SYMMETRIC_DEFAULT"},"responseElements":null,'
    b'"additionalEventData":{"keyMaterialId":""},"requestID":"","eventID":"","readOnly":true,"resources":'
    b'[{"accountId":"","type":"AWS::KMS::Key","ARN":"arn:aws:kms:eu-west-1::key/"}],"eventType":"AwsApiCall",'
    b'"managementEvent":true,"recipientAccountId":"","eventCategory":"Management","tlsDetails":{"tlsVersion":'
    b'"TLSv1.3","cipherSuite":"TLS_AES_128_GCM_SHA256","clientProvidedHostHeader":"kms.amazonaws.com"}}'
)
_PACKER = DictionaryPacker(_COMMON, level=1)


def pack(records: Sequence[bytes]) -> list[Block]:
    """Return blocks of the records in their order, each with the place of its first record among all."""
    return [
        (place, (_LINES if len(some) > 1 else _ONE) + _PACKER.pack(b"\n".join(some)))
        for place, some in _together(records)
    ]


def _together(records: Sequence[bytes]) -> Iterator[tuple[int, list[bytes]]]:
    some: list[bytes] = []
    size = 0
    for place, record in enumerate(records):
        lines = b"\n" in record
        if some and (lines or len(some) == _TOGETHER or size + len(record) > _LARGEST):
            yield place - len(some), some
            some, size = [], 0
        some.append(record)
        size += len(record)
        if lines:
            yield place, some
            some, size = [], 0
    if some:
        yield len(records) - len(some), some


def unpack(block: bytes) -> list[bytes]:
    """Return the records of a block, b"" for one that was left out. Raises ValueError."""
    kind = block[:1]
    if kind not in (_ONE, _LINES):
        raise ValueError("not a block of records")
    text = _PACKER.unpack(block[1:])
    return [text] if kind == _ONE else text.split(b"\n")


def without(block: bytes, kept: Container[int]) -> bytes:
    """Return a block with those of its records alone whose places are `kept`. Raises ValueError."""
    records = [record if place in kept else b"" for place, record in enumerate(unpack(block))]
    return block[:1] + _PACKER.pack(b"\n".join(records))
