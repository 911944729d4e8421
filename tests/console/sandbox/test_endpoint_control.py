"""The admin calls: data keys in bulk, a made-up past, key states, statistics, reproducible keys."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from typing import Any

import boto3
import pytest
from botocore.config import Config

from console.sandbox.endpoint import (
    ANALYST,
    PLATFORM,
    EndpointControl,
    EndpointControlError,
    EndpointProcess,
    MadeDataKey,
    PastCall,
)

REGION = "eu-west-1"


def client_of(endpoint: EndpointProcess, service: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=endpoint.url,
        region_name=REGION,
        aws_access_key_id=PLATFORM,
        aws_secret_access_key="unchecked",
        config=Config(retries={"total_max_attempts": 1}),
    )


@pytest.fixture(scope="session")
def endpoint() -> Iterator[EndpointProcess]:
    with EndpointProcess(REGION) as process:
        process.control.set_lookup_throttle(None)
        yield process


@pytest.fixture(scope="session")
def kms(endpoint: EndpointProcess) -> Any:
    return client_of(endpoint, "kms")


@pytest.fixture
def control(endpoint: EndpointProcess) -> EndpointControl:
    return endpoint.control


@pytest.fixture
def key(kms: Any) -> Any:
    return kms.create_key()["KeyMetadata"]


@pytest.fixture
def events_of(endpoint: EndpointProcess) -> Callable[[Any], list[Any]]:
    trail = client_of(endpoint, "cloudtrail")

    def look_up(key: Any) -> list[Any]:
        pages = trail.get_paginator("lookup_events").paginate(
            LookupAttributes=[{"AttributeKey": "ResourceName", "AttributeValue": key["Arn"]}]
        )
        return [event for page in pages for event in page["Events"]]

    return look_up


def test_data_keys_in_bulk_open_like_generated_ones_and_leave_no_records(
    kms: Any, key: Any, control: EndpointControl, events_of: Callable[[Any], list[Any]]
) -> None:
    made = control.data_keys(key["KeyId"], 5000)
    assert len({one.ciphertext_blob for one in made}) == 5000
    assert {len(one.ciphertext_blob) for one in made} == {184}
    assert {(one.key_arn, one.key_material_id) for one in made} == {(key["Arn"], key["CurrentKeyMaterialId"])}
    assert [event["EventName"] for event in events_of(key)] == ["CreateKey"]
    opened = kms.decrypt(CiphertextBlob=made[4999].ciphertext_blob, KeyId=key["Arn"])
    assert opened["Plaintext"] == made[4999].plaintext


def test_data_keys_can_be_wrapped_by_an_older_key_material(
    kms: Any, key: Any, control: EndpointControl
) -> None:
    kms.rotate_key_on_demand(KeyId=key["Arn"])
    (old,) = control.data_keys(key["Arn"], 1, material=key["CurrentKeyMaterialId"])
    (new,) = control.data_keys(key["Arn"], 1)
    assert old.key_material_id == key["CurrentKeyMaterialId"] != new.key_material_id
    opened = kms.decrypt(CiphertextBlob=old.ciphertext_blob)
    assert (opened["Plaintext"], opened["KeyMaterialId"]) == (old.plaintext, old.key_material_id)
    with pytest.raises(EndpointControlError, match="has no key material"):
        control.data_keys(key["Arn"], 1, material="0" * 64)


def test_data_keys_can_be_bound_to_their_rows(kms: Any, key: Any, control: EndpointControl) -> None:
    contexts = [{"keydeck:id": f"gh-{number}"} for number in range(2)]
    made = control.data_keys(key["Arn"], 2, contexts=contexts)
    for one, context in zip(made, contexts, strict=True):
        opened = kms.decrypt(CiphertextBlob=one.ciphertext_blob, EncryptionContext=context)
        assert opened["Plaintext"] == one.plaintext
    with pytest.raises(EndpointControlError, match="3 data keys can't have 2"):
        control.data_keys(key["Arn"], 3, contexts=contexts)


def test_what_is_under_any_key_can_be_opened_without_a_record(
    kms: Any, key: Any, control: EndpointControl, events_of: Callable[[Any], list[Any]]
) -> None:
    contexts = [{"keydeck:id": f"gh-{number}"} for number in range(2)]
    made = control.data_keys(key["Arn"], 2, contexts=contexts)
    kms.disable_key(KeyId=key["Arn"])
    blobs = [one.ciphertext_blob for one in made]
    assert control.opened(zip(blobs, contexts, strict=True)) == made
    damaged = blobs[0][:-1] + bytes([blobs[0][-1] ^ 1])
    assert control.opened([(blobs[0], contexts[1]), (damaged, contexts[0]), (b"no blob", {})]) == [None] * 3
    assert control.opened([]) == []
    assert [event["EventName"] for event in events_of(key)] == ["DisableKey", "CreateKey"]


def test_a_data_key_hides_its_plaintext_from_repr() -> None:
    assert "secret" not in repr(MadeDataKey(b"secret", b"blob", "arn", "id"))


def test_a_rotation_can_lie_in_the_past(
    kms: Any, key: Any, control: EndpointControl, events_of: Callable[[Any], list[Any]]
) -> None:
    created = datetime.now(UTC) - timedelta(days=800)
    rotated = datetime.now(UTC) - timedelta(days=40)
    control.backdate(key["Arn"], created)
    kms.enable_key_rotation(KeyId=key["Arn"])
    material = control.rotate(key["Arn"], rotated)
    metadata = kms.describe_key(KeyId=key["Arn"])["KeyMetadata"]
    assert metadata["CurrentKeyMaterialId"] == material
    assert abs(metadata["CreationDate"] - created) < timedelta(seconds=1)
    (rotation,) = kms.list_key_rotations(KeyId=key["Arn"])["Rotations"]
    assert (rotation["RotationType"], rotation["KeyMaterialId"]) == ("AUTOMATIC", material)
    assert abs(rotation["RotationDate"] - rotated) < timedelta(seconds=1)
    status = kms.get_key_rotation_status(KeyId=key["Arn"])
    assert abs(status["NextRotationDate"] - rotated - timedelta(days=365)) < timedelta(seconds=1)
    assert "RotateKey" in [event["EventName"] for event in events_of(key)]


def test_a_rotation_before_the_keys_creation_is_refused(key: Any, control: EndpointControl) -> None:
    with pytest.raises(EndpointControlError, match="Backdate the key first"):
        control.rotate(key["Arn"], datetime.now(UTC) - timedelta(days=1))


def test_the_past_is_recorded_in_the_order_in_which_it_happened(
    key: Any, control: EndpointControl, events_of: Callable[[Any], list[Any]]
) -> None:
    start = (datetime.now(UTC) - timedelta(days=3)).replace(microsecond=0)
    calls = [
        PastCall(start + timedelta(minutes=2), ANALYST, "Decrypt", key["Arn"], error_code="AccessDenied"),
        PastCall(start, PLATFORM, "GenerateDataKey", key["Arn"], encryption_context={"a": "b"}),
        PastCall(start + timedelta(minutes=1), PLATFORM, "DisableKey", key["KeyId"]),
    ]
    assert control.history(calls) == 3
    names = [event["EventName"] for event in events_of(key)]
    assert names == ["CreateKey", "DisableKey", "GenerateDataKey"]


def test_past_records_name_the_key_material_of_their_time(
    key: Any, control: EndpointControl, events_of: Callable[[Any], list[Any]]
) -> None:
    now = datetime.now(UTC)
    control.backdate(key["Arn"], now - timedelta(days=60))
    newer = control.rotate(key["Arn"], now - timedelta(days=30))
    control.history(
        [PastCall(now - timedelta(days=days), PLATFORM, "Decrypt", key["Arn"]) for days in (50, 10)]
    )
    late, early = [event["CloudTrailEvent"] for event in events_of(key) if event["EventName"] == "Decrypt"]
    assert newer in late
    assert key["CurrentKeyMaterialId"] in early


def test_only_successful_past_calls_count_as_usage(kms: Any, key: Any, control: EndpointControl) -> None:
    now = datetime.now(UTC)
    control.backdate(key["Arn"], now - timedelta(days=60))
    control.history(
        [
            PastCall(now - timedelta(days=5), PLATFORM, "Decrypt", key["Arn"]),
            PastCall(now - timedelta(days=4), ANALYST, "Decrypt", key["Arn"], error_code="AccessDenied"),
            PastCall(now - timedelta(days=9), PLATFORM, "Encrypt", key["Arn"]),
            PastCall(now - timedelta(days=1), PLATFORM, "DescribeKey", key["Arn"]),
        ]
    )
    usage = kms.get_key_last_usage(KeyId=key["KeyId"])["KeyLastUsage"]
    assert usage["Operation"] == "Decrypt"
    assert abs(usage["Timestamp"] - (now - timedelta(days=5))) < timedelta(seconds=1)


def test_a_past_with_an_unknown_key_is_refused_as_a_whole(
    key: Any, control: EndpointControl, events_of: Callable[[Any], list[Any]]
) -> None:
    now = datetime.now(UTC)
    calls = [
        PastCall(now, PLATFORM, "Decrypt", key["Arn"]),
        PastCall(now, PLATFORM, "Decrypt", "00000000-0000-4000-8000-000000000000"),
    ]
    with pytest.raises(EndpointControlError, match="does not exist"):
        control.history(calls)
    assert [event["EventName"] for event in events_of(key)] == ["CreateKey"]


def test_a_long_past_is_taken_at_once(key: Any, control: EndpointControl) -> None:
    now = datetime.now(UTC)
    before = control.stats().records_kept
    calls = [PastCall(now - timedelta(minutes=one), PLATFORM, "Decrypt", key["Arn"]) for one in range(5000)]
    assert control.history(calls) == 5000
    assert control.stats().records_kept >= before + 5000


def test_statistics_count_live_calls_by_action(kms: Any, key: Any, control: EndpointControl) -> None:
    before = control.stats().calls.get("kms:GenerateDataKey", 0)
    for _ in range(3):
        kms.generate_data_key(KeyId=key["Arn"], KeySpec="AES_256")
    control.history([PastCall(datetime.now(UTC), PLATFORM, "GenerateDataKey", key["Arn"])])
    stats = control.stats()
    assert stats.calls["kms:GenerateDataKey"] == before + 3


def test_a_time_without_zone_is_refused(key: Any, control: EndpointControl) -> None:
    with pytest.raises(EndpointControlError, match="no time zone"):
        control.backdate(key["Arn"], datetime(2025, 1, 1))  # noqa: DTZ001


def test_an_unknown_key_state_is_refused(key: Any, control: EndpointControl) -> None:
    with pytest.raises(EndpointControlError, match="'Broken'"):
        control.set_key_state(key["Arn"], "Broken")


def test_an_endpoint_that_is_gone_is_named() -> None:
    with pytest.raises(EndpointControlError, match=r"http://127\.0\.0\.1:9"):
        EndpointControl("http://127.0.0.1:9", "token").stats()


@pytest.mark.parametrize("path", ["/_gate/clear", "/_gate/stats", "/_providers/control/clear"])
@pytest.mark.parametrize(
    ("host", "token"),
    [
        ("127.0.0.1:{port}", None),
        ("127.0.0.1:{port}", ""),
        ("127.0.0.1:{port}", "another"),
        ("rebound.example:{port}", "{token}"),
        ("rebound.example", "{token}"),
        ("127.0.0.1:1", "{token}"),
        ("", "{token}"),
    ],
)
def test_only_who_started_it_drives_it_and_no_page_in_a_browser(
    endpoint: EndpointProcess, path: str, host: str, token: str | None
) -> None:
    named = {"port": endpoint.port, "token": endpoint.token}
    headers = {} if token is None else {"X-Keydeck-Control": token.format(**named)}
    assert control_call(endpoint, path, host.format(**named), headers) == 403


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_the_endpoint_is_driven_by_its_own_names(endpoint: EndpointProcess, host: str) -> None:
    headers = {"X-Keydeck-Control": endpoint.token}
    for path in ("/_gate/stats", "/_providers/control/calls"):
        assert control_call(endpoint, path, f"{host}:{endpoint.port}", headers) == 200


def control_call(endpoint: EndpointProcess, path: str, host: str, headers: dict[str, str]) -> int:
    connection = HTTPConnection("127.0.0.1", endpoint.port, timeout=30)
    with closing(connection):
        connection.request("POST", path, b"{}", {"Host": host, "Content-Type": "text/plain", **headers})
        return connection.getresponse().status


def test_motos_own_controls_are_closed(endpoint: EndpointProcess, kms: Any, key: Any) -> None:
    import urllib.error
    import urllib.request

    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{endpoint.url}/moto-api/reset", data=b"")
    caught.value.close()
    assert caught.value.code == 404
    assert kms.describe_key(KeyId=key["Arn"])


@pytest.mark.deep
def test_the_same_seed_makes_the_same_keys() -> None:
    def first_keys(seed: int) -> list[tuple[str, str, bytes]]:
        with EndpointProcess(REGION, seed=seed) as process:
            kms = client_of(process, "kms")
            made = [kms.create_key()["KeyMetadata"] for _ in range(2)]
            return [
                (
                    one["KeyId"],
                    one["CurrentKeyMaterialId"],
                    process.control.data_keys(one["KeyId"], 1)[0].ciphertext_blob[:37],
                )
                for one in made
            ]

    assert first_keys(7) == first_keys(7) != first_keys(8)


@pytest.mark.deep
def test_nonces_stay_random_under_a_seed() -> None:
    def first_blob() -> bytes:
        with EndpointProcess(REGION, seed=7) as process:
            key = client_of(process, "kms").create_key()["KeyMetadata"]
            return process.control.data_keys(key["KeyId"], 1)[0].ciphertext_blob

    assert first_blob() != first_blob()


def test_the_trail_drops_its_oldest_records_when_it_is_full() -> None:
    from console.sandbox.endpoint.principals import BUILT_IN
    from console.sandbox.endpoint.records import Record
    from console.sandbox.endpoint.trail import SandboxTrail

    trail = SandboxTrail(capacity=100)
    now = time.time()
    for number in range(105):
        trail.add(
            Record(
                time=now + number,
                source="kms.amazonaws.com",
                name="Decrypt",
                region=REGION,
                identity=BUILT_IN[PLATFORM],
                access_key_id=PLATFORM,
                source_ip="127.0.0.1",
                user_agent="",
                request_id=number,
                event_id=number,
            )
        )
    kept = [record.event_id for record in trail.newest_first(now, now + 200)]
    assert kept == list(range(104, 9, -1))
    assert (len(trail), trail.undelivered) == (95, 95)
