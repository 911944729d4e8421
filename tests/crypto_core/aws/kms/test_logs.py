"""KMS over HTTP: no data key and no token gets into a log."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from console.sandbox.endpoint import EndpointControl

HOME = Path(__file__).parents[4]


LOGGING = {
    "root at DEBUG": "logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)",
    "boto3's stream logger for everything": "boto3.set_stream_logger('')",
    "boto3's stream logger for botocore": "boto3.set_stream_logger('botocore')",
    "botocore and urllib3 at DEBUG": (
        "logging.basicConfig(stream=sys.stdout)\n"
        "for name in ('botocore', 'botocore.parsers', 'botocore.endpoint', 'urllib3'):\n"
        "    logging.getLogger(name).setLevel(logging.DEBUG)"
    ),
}

ENCRYPT_AND_DECRYPT = """
import json, logging, os, sys
import boto3
{before}
key = os.environ["TOKEN_ENCRYPTION_KEY_ID"]
control = boto3.client("kms").generate_data_key(KeyId=key, KeySpec="AES_256")
from crypto_core import KmsApi, KmsKeyring, TokenCipher, decrypt_token, encrypt_token
stored = [encrypt_token({token!r})]
{after}
stored.append(encrypt_token({token!r}))
assert [decrypt_token(s) for s in stored] == [{token!r}] * 2
cipher = TokenCipher(KmsKeyring(KmsApi(), write_key=key))
stored.append(cipher.rewrap(stored[0], key).stored)
KmsApi().identity()
open({report!r}, "w").write(json.dumps({{"stored": stored, "control": control["Plaintext"].hex()}}))
"""


@pytest.mark.quick(1)
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("set_up", LOGGING.values(), ids=LOGGING.keys())
def test_no_data_key_and_no_token_gets_into_a_log(
    aws: EndpointControl, client: Any, tmp_path: Path, set_up: str, moment: str
) -> None:
    token, report = "ghp_CANARYcanaryCANARYcanary", tmp_path / "report"
    parts = {"before": "", "after": "", moment: set_up}
    program = ENCRYPT_AND_DECRYPT.format(**parts, token=token, report=str(report))
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, cwd=HOME, check=True)
    log, told = ran.stdout + ran.stderr, json.loads(report.read_text())

    if moment == "before":
        # What Keydeck guards against is real: boto3 without it logs the data key that it received.
        assert base64.b64encode(bytes.fromhex(told["control"])) in log
    assert b"DEBUG" in log
    for stored in told["stored"]:
        edk = base64.b64decode(base64.b64decode(stored).split(b"|")[1])
        data_key = client.decrypt(CiphertextBlob=edk)["Plaintext"]
        for form in (
            data_key,
            base64.b64encode(data_key),
            data_key.hex().encode(),
            repr(data_key)[2:-1].encode(),
        ):
            assert form not in log
    assert b"CANARY" not in log
    assert base64.b64encode(token.encode())[:20] not in log
