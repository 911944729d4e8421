"""CloudTrail's digest files: whatever was changed, deleted or left out is found by its name."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from console.sandbox.endpoint import ANALYST, EndpointProcess, PastCall
from crypto_core.trail.sources.bucket.digests import Validation
from crypto_core.trail.store import EventStore
from tests.crypto_core.trail.sources.amazon import (
    ACCOUNT,
    HERE,
    OTHER_ACCOUNT,
    THERE,
    Clock,
    WatchedAws,
    dated,
    denying,
    log_file,
    log_key,
    puller,
)
from tests.crypto_core.trail.sources.bucket.digest_chain import (
    KEY,
    OTHER_KEY,
    Chain,
    fingerprint,
    iso,
    public,
)

HOURS = 6


@pytest.fixture
def chain(bucket: str, put: Callable[..., str], clock: Clock) -> Chain:
    """The deliveries of the last hours, as they should be."""
    made = Chain(bucket, put)
    for hour in range(HOURS, -1, -1):
        made.hour(clock.ago(hours=hour))
    return made


@pytest.fixture
def validate(aws: WatchedAws, store: EventStore, clock: Clock, bucket: str) -> Callable[..., Validation]:
    """Validate the last five and a half hours of the bucket."""
    aws.instead.append(
        lambda operation, _region, _parameters: (
            {"PublicKeyList": [public(KEY), {"Value": b"no key", "Fingerprint": "x"}]}
            if operation == "ListPublicKeys"
            else None
        )
    )

    def check(**window: Any) -> Validation:
        pull = puller(aws, store, clock)
        window.setdefault("since", clock.ago(hours=HOURS - 0.5))
        return pull.validate(pull.plan_pull(f"s3://{bucket}", **window))

    return check


@pytest.fixture
def delete(client: Callable[..., Any], bucket: str) -> Callable[[str], None]:
    return lambda key: client("s3").delete_object(Bucket=bucket, Key=key)


@pytest.mark.deep
def test_what_is_as_it_was_delivered_is_valid(chain: Chain, validate: Callable[..., Validation]) -> None:
    found = validate()
    assert found == Validation(digests=HOURS, files=2 * HOURS)
    assert found.well
    assert found.as_json()["files"] == {"valid": 12, "invalid": 0, "missing": 0}


WRITTEN = log_file(dated(datetime.fromisoformat("2026-01-01T00:00:00Z")))


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    ("body", "counts", "told"),
    [
        (WRITTEN, (11, 1, 0), "its content was changed after delivery."),
        (WRITTEN[:-6], (11, 1, 0), "truncated gzip."),
        (None, (11, 0, 1), "There is no such object"),
    ],
    ids=["changed", "no-gzip", "deleted"],
)
def test_a_log_file_that_was_changed_or_deleted_is_named(
    chain: Chain,
    validate: Callable[..., Validation],
    delete: Callable[[str], None],
    body: bytes | None,
    counts: tuple[int, int, int],
    told: str,
) -> None:
    if body is None:
        delete(chain.logs[5])
    else:
        chain.write(chain.logs[5], body)
    found = validate()
    assert (found.files, found.files_invalid, found.files_missing) == counts
    assert (found.digests, found.well, len(found.problems)) == (HOURS, False, 1)
    assert found.problems[0].startswith(f"s3://{chain.bucket}/{chain.logs[5]}: {told}")


def test_a_digest_that_was_changed_is_named_and_the_chain_shows_it(
    chain: Chain, validate: Callable[..., Validation], client: Callable[..., Any]
) -> None:
    """The attacker who hides a file takes it out of its digest, too."""
    name = chain.digests[3]
    stored = client("s3").get_object(Bucket=chain.bucket, Key=name)
    document = json.loads(gzip.decompress(stored["Body"].read()))
    document["logFiles"].pop()
    chain.write(name, gzip.compress(json.dumps(document).encode()), Metadata=stored["Metadata"])
    found = validate()
    assert (found.digests, found.digests_invalid, found.breaks) == (HOURS - 1, 1, 1)
    assert f"s3://{chain.bucket}/{name}: the signature doesn't match." in found.problems
    later = f"s3://{chain.bucket}/{chain.digests[4]}: the digest before it is another one than it was."
    assert later in found.problems


@pytest.mark.quick(2)
@pytest.mark.parametrize("signature", ["", "zz", "00" * 256, "x" * 9], ids=["none", "no-hex", "zero", "long"])
def test_a_signature_that_is_none_is_no_signature(
    chain: Chain, validate: Callable[..., Validation], client: Callable[..., Any], signature: str
) -> None:
    name = chain.digests[3]
    body = client("s3").get_object(Bucket=chain.bucket, Key=name)["Body"].read()
    chain.write(name, body, Metadata={"signature": signature} if signature else {})
    found = validate()
    assert found.digests_invalid == 1
    assert f"s3://{chain.bucket}/{name}: the signature doesn't match." in found.problems


def test_a_digest_signed_by_another_key_is_named(
    bucket: str, put: Callable[..., str], clock: Clock, validate: Callable[..., Validation]
) -> None:
    strange = Chain(bucket, put, key=OTHER_KEY)
    name = strange.hour(clock.now)
    assert f"s3://{bucket}/{name}: CloudTrail has no public key of its fingerprint." in validate().problems
    lying = Chain(bucket, put, key=OTHER_KEY)
    name = lying.hour(clock.now, digestPublicKeyFingerprint=fingerprint(KEY))
    assert f"s3://{bucket}/{name}: the signature doesn't match." in validate().problems


def test_another_way_of_signing_is_not_taken(
    bucket: str, put: Callable[..., str], clock: Clock, validate: Callable[..., Validation]
) -> None:
    name = Chain(bucket, put).hour(clock.now, digestSignatureAlgorithm="SHA1withRSA")
    assert any("signed in a way that CloudTrail doesn't use" in p and name in p for p in validate().problems)


def test_a_weaker_hash_under_the_right_name_is_not_taken(
    bucket: str, put: Callable[..., str], clock: Clock, validate: Callable[..., Validation], client: Any
) -> None:
    chain = Chain(bucket, put)
    name = chain.hour(clock.now)
    stored = client("s3").get_object(Bucket=bucket, Key=name)["Body"].read()
    chain.sign(name, json.loads(gzip.decompress(stored)), SHA1())
    assert f"s3://{bucket}/{name}: the signature doesn't match." in validate().problems


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    ("gone", "missing", "breaks", "told"),
    [
        (slice(3, 4), 1, 1, "{4}: the digest before it is missing: {3}."),
        (slice(-4, None), 0, 1, "{2}: no later digest found: deleted, or logging"),
        (slice(3), 1, 1, "{2}: "),
        (slice(None), 0, 0, ": there are no digest files for this window"),
    ],
    ids=["between", "last", "first", "all"],
)
def test_digests_cannot_be_deleted_unseen(
    chain: Chain,
    validate: Callable[..., Validation],
    delete: Callable[[str], None],
    gone: slice,
    missing: int,
    breaks: int,
    told: str,
) -> None:
    for name in chain.digests[gone]:
        delete(name)
    found = validate()
    assert (found.digests_missing, found.breaks, found.well) == (missing, breaks, False)
    assert told.format(*chain.digests) in found.problems[0]


@pytest.mark.deep
def test_the_digests_of_one_region_cannot_be_deleted_unseen(
    chain: Chain, validate: Callable[..., Validation], clock: Clock
) -> None:
    chain.write(log_key(clock.ago(hours=1), region=THERE), log_file(dated(clock.ago(hours=2))))
    (problem,) = validate().problems
    assert problem.startswith(f"s3://{chain.bucket}/: {ACCOUNT} {THERE}: there are no digest files")
    assert validate(regions=[HERE]).well


def test_what_was_delivered_before_the_first_digest_is_said_to_be_vouched_for_by_nothing(
    chain: Chain, validate: Callable[..., Validation], clock: Clock
) -> None:
    found = validate(since=clock.ago(days=1))
    assert found.digests == HOURS + 1
    (problem,) = found.problems
    begin = iso(clock.ago(hours=HOURS + 1))
    assert problem == (
        f"s3://{chain.bucket}/{chain.digests[0]}: the chain begins here, at {begin}: earlier "
        "deliveries can't be verified."
    )


def test_a_chain_that_begins_anew_is_a_break(
    bucket: str, put: Callable[..., str], clock: Clock, validate: Callable[..., Validation]
) -> None:
    chain = Chain(bucket, put)
    for hour in range(HOURS, 2, -1):
        chain.hour(clock.ago(hours=hour))
    anew = Chain(bucket, put)
    for hour in range(2, -1, -1):
        anew.hour(clock.ago(hours=hour))
    found = validate()
    assert found.breaks == 1
    (problem,) = found.problems
    assert problem.startswith(f"s3://{bucket}/{anew.digests[0]}: the chain starts over here")


@pytest.mark.deep
def test_a_digest_of_another_place_is_not_taken(
    chain: Chain, validate: Callable[..., Validation], client: Callable[..., Any]
) -> None:
    copied = client("s3").get_object(Bucket=chain.bucket, Key=chain.digests[3])
    chain.write(chain.digests[4], copied["Body"].read(), Metadata=copied["Metadata"])
    found = validate()
    assert f"s3://{chain.bucket}/{chain.digests[4]}: it was moved here from elsewhere." in found.problems


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    ("body", "said"),
    [(b"{", "it is not JSON."), (b"[]", "it is no digest."), (b"\x1f\x8b\x08", "truncated gzip.")],
    ids=["no-json", "list", "gzip"],
)
def test_a_digest_that_cannot_be_read_is_named(
    chain: Chain, validate: Callable[..., Validation], body: bytes, said: str
) -> None:
    chain.write(chain.digests[3], body)
    found = validate()
    assert (found.digests, found.digests_invalid) == (HOURS - 1, 1)
    assert found.problems == (f"s3://{chain.bucket}/{chain.digests[3]}: {said}",)


def test_what_is_denied_is_named_and_the_rest_is_checked(
    aws: WatchedAws, chain: Chain, validate: Callable[..., Validation]
) -> None:
    aws.instead.append(denying("GetObject", Key=chain.logs[5]))
    found = validate()
    assert (found.files, found.files_invalid, found.files_missing) == (11, 0, 0)
    assert found.problems == (f"s3://{chain.bucket}/{chain.logs[5]}: aws:GetObject is not allowed.",)
    aws.instead.append(denying("ListObjectsV2"))
    assert validate().problems == (f"s3://{chain.bucket}/: aws:ListObjectsV2 is not allowed.",)


def test_public_keys_that_cannot_be_had_leave_nothing_valid(
    aws: WatchedAws, chain: Chain, validate: Callable[..., Validation]
) -> None:
    aws.instead.insert(0, denying("ListPublicKeys"))
    found = validate()
    assert found.digests == 0
    assert found.problems == (f"{HERE}: public keys: aws:ListPublicKeys is not allowed.",)


def test_the_keys_of_all_digests_that_are_read_are_asked_for(
    aws: WatchedAws, chain: Chain, validate: Callable[..., Validation], clock: Clock
) -> None:
    validate()
    (asked,) = aws.named("ListPublicKeys")
    first = clock.ago(hours=HOURS - 0.5).replace(hour=0, minute=0, second=0)
    assert asked["StartTime"] <= first
    assert asked["EndTime"] >= clock.now


def test_a_key_that_is_no_rsa_key_is_passed_over(
    aws: WatchedAws, chain: Chain, validate: Callable[..., Validation]
) -> None:
    elliptic = ec.generate_private_key(ec.SECP256R1()).public_key()
    written = elliptic.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    tokens = iter(["more", None])

    def instead(operation: str, _region: str, _parameters: dict[str, Any]) -> dict[str, Any] | None:
        if operation != "ListPublicKeys":
            return None
        following = next(tokens)
        if following:
            keys = [{"Value": written, "Fingerprint": fingerprint(KEY)}]
            return {"PublicKeyList": keys, "NextToken": following}
        return {"PublicKeyList": [public(KEY)]}

    aws.instead.insert(0, instead)
    assert validate().well


def test_a_backfill_is_checked_and_is_no_link_of_the_chain(
    chain: Chain, validate: Callable[..., Validation], clock: Clock
) -> None:
    chain.hour(clock.ago(hours=2, minutes=-10), backfill=True, previousDigestS3Object=None)
    found = validate()
    assert found.well, found.problems
    assert (found.digests, found.files) == (HOURS + 1, 2 * HOURS + 2)


@pytest.mark.deep
def test_trails_whose_names_begin_alike_are_chains_of_their_own(
    chain: Chain, validate: Callable[..., Validation], clock: Clock
) -> None:
    for name in ("main_2", f"main_{HERE}"):
        other = Chain(chain.bucket, chain.write, trail=name)
        for hour in range(HOURS, -1, -1):
            other.hour(clock.ago(hours=hour, minutes=1), files=0)
    found = validate()
    assert found.well, found.problems
    assert found.digests == 3 * HOURS


@pytest.mark.deep
def test_all_regions_and_accounts_are_checked_and_one_can_be_asked_for(
    chain: Chain, validate: Callable[..., Validation], clock: Clock
) -> None:
    for account, region in ((ACCOUNT, THERE), (OTHER_ACCOUNT, HERE)):
        other = Chain(chain.bucket, chain.write, region=region, account=account)
        for hour in range(HOURS, -1, -1):
            other.hour(clock.ago(hours=hour))
    assert validate() == Validation(digests=3 * HOURS, files=6 * HOURS)
    assert validate(regions=[THERE]) == Validation(digests=HOURS, files=2 * HOURS)


def test_a_file_of_another_bucket_is_not_looked_for(
    bucket: str, put: Callable[..., str], clock: Clock, validate: Callable[..., Validation]
) -> None:
    entry = {"s3Bucket": "elsewhere", "s3Object": "x", "hashValue": "y"}
    Chain(bucket, put).hour(clock.now, logFiles=[entry, {"s3Object": 7}, "none"])
    found = validate()
    assert found.files_invalid == 2
    assert "A digest names a file that is no object of this bucket." in found.problems


def test_problems_are_clean_and_not_without_end() -> None:
    found = Validation()
    for n in range(300):
        found = found.but(f"\x1b]0;x\x07 {n}", files_invalid=1)
    assert found.files_invalid == 300
    assert len(found.problems) == 200
    assert "\x1b" not in "".join(found.problems)


@pytest.mark.deep
def test_what_the_sandboxs_trail_delivers_is_valid_until_it_is_changed(
    aws: WatchedAws,
    store: EventStore,
    clock: Clock,
    endpoint: EndpointProcess,
    client: Callable[..., Any],
    bucket: str,
) -> None:
    cloudtrail, s3 = client("cloudtrail"), client("s3")
    cloudtrail.create_trail(
        Name="watched", S3BucketName=bucket, IsMultiRegionTrail=True, EnableLogFileValidation=True
    )
    cloudtrail.start_logging(Name="watched")
    key = client("kms").create_key()["KeyMetadata"]["Arn"]
    # Other tests' calls of STS are of the other Region: both chains begin before the window.
    then = clock.ago(days=2)
    elsewhere = PastCall(then, ANALYST, "ListKeys", region=THERE)
    endpoint.control.history([PastCall(then, ANALYST, "Decrypt", key), elsewhere])
    endpoint.control.deliver()
    for _ in range(2):
        client("kms").describe_key(KeyId=key)
        endpoint.control.deliver()
    pull = puller(aws, store, clock)
    clock.now += timedelta(seconds=10)
    plan = pull.plan_pull("s3", since=clock.ago(days=1))
    found = pull.validate(plan)
    assert found.well, found.problems
    names = [
        one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"] if "-Digest" not in one["Key"]
    ]
    s3.delete_object(Bucket=bucket, Key=names[-1])
    found = pull.validate(plan)
    cloudtrail.delete_trail(Name="watched")
    assert found.files_missing == 1
    assert names[-1] in found.problems[0]
