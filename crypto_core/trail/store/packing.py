"""Records made small: Zstandard with a dictionary of what CloudTrail's records have in common.

RFC 8878, "Raw content" of section 5 on dictionaries. A packed record begins with the dictionary's number, so
that another one can be brought in beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import local

import zstandard

_NUMBER = b"\x01"

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
_LEVEL = 3
_DICTIONARY = zstandard.ZstdCompressionDict(_COMMON, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
_DICTIONARY.precompute_compress(level=_LEVEL)


class _Tools(local):
    """One thread's own: Zstandard's contexts are not for several at once."""

    def __init__(self) -> None:
        self.packer = zstandard.ZstdCompressor(
            dict_data=_DICTIONARY, write_checksum=False, write_dict_id=False
        )
        self.unpacker = zstandard.ZstdDecompressor(dict_data=_DICTIONARY)


_TOOLS = _Tools()


def pack(record: bytes) -> bytes:
    """Return a record packed."""
    return _NUMBER + _TOOLS.packer.compress(record)


def pack_all(records: Sequence[bytes]) -> list[bytes]:
    """Return records packed; many at once leave other threads alone."""
    if not records or not all(records):
        # At once, Zstandard takes only what is something.
        return [pack(one) for one in records]
    packed = _TOOLS.packer.multi_compress_to_buffer(list(records))
    return [_NUMBER + packed[place].tobytes() for place in range(len(packed))]


def unpack(packed: bytes) -> bytes:
    """Return the record. Raises ValueError for what is no packed record."""
    if packed[:1] != _NUMBER:
        raise ValueError("not a packed record")
    try:
        return _TOOLS.unpacker.decompress(packed[1:])
    except zstandard.ZstdError as error:
        raise ValueError("not a packed record") from error
