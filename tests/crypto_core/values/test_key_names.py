"""Names of KMS keys."""

from __future__ import annotations

import pytest
from botocore.session import get_session
from hypothesis import given
from hypothesis import strategies as st

from crypto_core.envelope import PROVIDER_PREFIXES
from crypto_core.values.errors import InvalidReferenceError, SettingsError
from crypto_core.values.key_names import (
    is_key_arn,
    means,
    parse_key_name,
    partition_of,
    region_of,
    same_key,
    short_key,
)
from crypto_core.values.references import parse_reference

KEY_ID = "1234abcd-12ab-34cd-56ef-1234567890ab"
MRK_ID = "mrk-1234abcd12ab34cd56ef1234567890ab"
PREFIX = "arn:aws:kms:eu-west-1:123456789012:"

NO_KEY_NAMES = [
    "",
    " ",
    KEY_ID[:-1],
    KEY_ID + "0",
    KEY_ID.upper(),
    " " + KEY_ID,
    KEY_ID + "\n",
    "mrk-mrk-" + KEY_ID,
    "alias/",
    "alias/" + "x" * 251,
    "alias/with space",
    "alias/tokens\n",
    "alias/é",
    "tokens",
    "key/" + KEY_ID,
    PREFIX + KEY_ID,
    PREFIX + "key/" + KEY_ID + "\n",
    PREFIX + "key/key/" + KEY_ID,
    PREFIX + "key/tokens",
    PREFIX + "alias/",
    "arn:aws:kms:eu-west-1:12345678901:key/" + KEY_ID,
    "arn:aws:kms:eu-west-1:١٢٣٤٥٦٧٨٩٠١٢:key/" + KEY_ID,
    "arn:aws:kms::123456789012:key/" + KEY_ID,
    "arn:aws:iam::123456789012:user/tokens",
    "arn:aws:s3:eu-west-1:123456789012:key/" + KEY_ID,
    "[red]" + KEY_ID,
]


def test_a_key_arn_says_everything_and_can_not_come_to_mean_another_key() -> None:
    name = parse_key_name(f"{PREFIX}key/{KEY_ID}")
    assert (name.key_id, name.alias, name.region, name.account) == (KEY_ID, None, "eu-west-1", "123456789012")
    assert name.is_key_arn
    assert name.text == f"{PREFIX}key/{KEY_ID}"


def test_a_key_id_says_neither_region_nor_account() -> None:
    for key_id in (KEY_ID, MRK_ID, f"mrk-{KEY_ID}"):
        name = parse_key_name(key_id)
        assert (name.key_id, name.alias, name.region, name.account) == (key_id, None, None, None)
        assert not name.is_key_arn


@pytest.mark.parametrize(
    "alias", ["alias/tokens", "alias/aws/rds", "alias/team/Tokens_2-x", "alias/" + "x" * 250]
)
def test_an_alias_is_no_key_arn(alias: str) -> None:
    bare, full = parse_key_name(alias), parse_key_name(PREFIX + alias)
    assert (bare.alias, bare.key_id, bare.region, bare.is_key_arn) == (alias, None, None, False)
    assert (full.alias, full.key_id, full.region, full.is_key_arn) == (alias, None, "eu-west-1", False)


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov", "aws-iso-b"])
def test_every_partition_has_keys(partition: str) -> None:
    assert parse_key_name(f"arn:{partition}:kms:eu-west-1:123456789012:key/{MRK_ID}").is_key_arn


def test_every_region_that_botocore_knows_is_of_its_partition() -> None:
    known = {
        region: partition["id"]
        for partition in get_session().get_data("partitions")["partitions"]
        for region in partition["regions"]
        if not region.startswith("aws-")
    }
    assert {region: partition_of(region) for region in known} == known


@pytest.mark.parametrize("text", NO_KEY_NAMES)
def test_what_is_no_key_name_is_a_settings_error_that_says_what_is_one(text: str) -> None:
    with pytest.raises(SettingsError, match="Not a KMS key") as caught:
        parse_key_name(text)
    assert "alias/" in caught.value.remedy


@pytest.mark.parametrize("start", [p for prefixes in PROVIDER_PREFIXES.values() for p in prefixes])
def test_a_token_pasted_where_a_name_belongs_is_not_repeated(start: str) -> None:
    token = start + "made0up1token2that3is4long5enough"
    for read, error in ((parse_key_name, SettingsError), (parse_reference, InvalidReferenceError)):
        with pytest.raises(error) as caught:
            read(token)
        assert "made0up" not in str(caught.value)


@given(st.text() | st.text("arn:kms-0123456789abcdef/key").map(lambda t: PREFIX + t))
def test_any_text_is_a_key_name_or_a_settings_error(text: str) -> None:
    try:
        name = parse_key_name(text)
    except SettingsError:
        assert not is_key_arn(text)
    else:
        assert (name.key_id is None) != (name.alias is None)
        assert is_key_arn(text) is name.is_key_arn


def test_only_the_text_of_a_key_arn_is_one() -> None:
    assert is_key_arn(f"{PREFIX}key/{KEY_ID}")
    assert is_key_arn(f"{PREFIX}key/{MRK_ID}")
    for value in [*NO_KEY_NAMES, KEY_ID, "alias/x", f"{PREFIX}alias/x", None, 3, b"arn:aws:kms", "None"]:
        assert not is_key_arn(value)


def test_replicas_of_a_multi_region_key_are_the_same_key() -> None:
    primary = f"arn:aws:kms:eu-west-1:123456789012:key/{MRK_ID}"
    replica = f"arn:aws:kms:us-east-1:123456789012:key/{MRK_ID}"
    assert same_key(primary, replica)
    assert same_key(primary, primary)
    assert not same_key(primary, f"arn:aws:kms:us-east-1:210987654321:key/{MRK_ID}")
    assert not same_key(primary, f"arn:aws:kms:us-east-1:123456789012:key/mrk-{'0' * 32}")
    assert not same_key(primary, f"arn:aws:kms:us-east-1:123456789012:alias/{MRK_ID}")
    assert not same_key(primary, MRK_ID)


def test_keys_that_are_not_multi_region_are_the_same_only_with_one_arn() -> None:
    key = f"arn:aws:kms:eu-west-1:123456789012:key/{KEY_ID}"
    assert same_key(key, key)
    for other in (
        f"arn:aws:kms:us-east-1:123456789012:key/{KEY_ID}",
        f"arn:aws:kms:eu-west-1:210987654321:key/{KEY_ID}",
        f"arn:aws:kms:eu-west-1:123456789012:key/{KEY_ID[:-1]}c",
        KEY_ID,
        "",
        "None",
    ):
        assert not same_key(key, other)
        assert not same_key(other, key)


def test_the_region_is_read_from_arns_only() -> None:
    assert region_of(f"{PREFIX}key/{KEY_ID}") == "eu-west-1"
    assert region_of(f"{PREFIX}alias/tokens") == "eu-west-1"
    assert region_of(KEY_ID) is None
    assert region_of("alias/tokens") is None


def test_a_row_shows_the_end_of_a_key_id_or_the_whole_alias() -> None:
    assert short_key(f"{PREFIX}key/{KEY_ID}") == "…90ab"
    assert short_key(KEY_ID) == "…90ab"
    assert short_key(f"{PREFIX}alias/tokens") == "alias/tokens"
    assert short_key("alias/tokens") == "alias/tokens"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        (f"{PREFIX}key/{KEY_ID}", True),
        (KEY_ID, True),
        ("alias/t", True),
        (f"{PREFIX}alias/t", True),
        (f"{PREFIX}key/{KEY_ID[:-1]}0", False),
        ("alias/other", False),
        ("arn:aws:kms:us-east-1:123456789012:alias/t", False),
        ("arn:aws:kms:eu-west-1:999999999999:alias/t", False),
    ],
)
def test_a_name_of_any_form_means_one_key(name: str, meant: bool) -> None:
    assert means(name, f"{PREFIX}key/{KEY_ID}", ("alias/t",)) is meant
