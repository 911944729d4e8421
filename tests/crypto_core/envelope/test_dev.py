"""The platform's development format."""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet

from crypto_core.envelope import DEV_KEY, Format, classify, open_dev
from crypto_core.values import errors
from crypto_core.values.secret import Secret
from tests.crypto_core.envelope.samples import (
    PUBLISHED_DEV_KEY,
    TOKEN,
    assert_tells_nothing_of,
    b64,
    dev_value,
    stored_as,
    told_by,
)


def test_the_published_development_key_is_known() -> None:
    assert DEV_KEY == PUBLISHED_DEV_KEY


def test_anyone_opens_a_dev_value_under_the_published_key() -> None:
    assert open_dev(dev_value(TOKEN.encode())).reveal() == TOKEN


def test_a_dev_value_under_another_key_opens_with_that_key_only() -> None:
    other = Fernet.generate_key().decode()
    stored = dev_value(TOKEN.encode(), other)
    assert open_dev(stored, other).reveal() == TOKEN
    with pytest.raises(errors.AuthenticationFailedError, match="DEV_ENCRYPTION_KEY") as caught:
        open_dev(stored)
    assert_tells_nothing_of(caught.value, stored)


@pytest.mark.parametrize("key", ["", "short", "not base64!", "é" * 44, PUBLISHED_DEV_KEY[:-2], "A" * 42])
def test_a_development_key_that_is_none_is_a_settings_error(key: str) -> None:
    with pytest.raises(errors.SettingsError, match="DEV_ENCRYPTION_KEY") as caught:
        open_dev(dev_value(TOKEN.encode()), key)
    if key:
        assert key not in told_by(caught.value)


@pytest.mark.parametrize(
    "stored",
    [
        b64(b"dev|"),
        b64(b"dev|gibberish"),
        b64(b"dev}gibberish"),
        b64(b"dev~gibberish"),
        b64(b"dev|" + bytes(200)),
        dev_value(TOKEN.encode())[:-4],
        "ZGV2f",
    ],
    ids=range(7),
)
def test_a_broken_dev_value_is_refused(stored: str) -> None:
    with pytest.raises((errors.MalformedEnvelopeError, errors.AuthenticationFailedError)) as caught:
        open_dev(stored)
    assert_tells_nothing_of(caught.value, stored)


@pytest.mark.parametrize("foreign", ["\n", "\r\n", " ", "é", "\0"])
def test_a_dev_value_is_read_as_leniently_as_the_platform_reads_it(foreign: str) -> None:
    stored = dev_value(TOKEN.encode())
    for spelt in (stored + foreign, stored[:90] + foreign + stored[90:]):
        assert open_dev(spelt) == Secret.of(TOKEN)


@pytest.mark.parametrize("stored", ["", "ghp_abc", stored_as(), "djJ8abc"])
def test_only_a_dev_value_is_opened_as_one(stored: str) -> None:
    with pytest.raises(errors.UnsupportedFormatError):
        open_dev(stored)


@pytest.mark.parametrize("mark", [b"dev}", b"dev~", b"dev\x7f", b"dev}|", b"dev~x|", b"dev\x7fdev|"])
def test_the_whole_mark_is_compared_not_only_what_the_beginning_of_the_stored_value_tells(
    mark: bytes,
) -> None:
    token = Fernet(PUBLISHED_DEV_KEY).encrypt(TOKEN.encode())
    stored = b64(mark + token)
    assert classify(stored).format is Format.DEV
    with pytest.raises(errors.MalformedEnvelopeError, match="does not begin with dev") as caught:
        open_dev(stored)
    assert caught.value.field == "envelope"
    assert_tells_nothing_of(caught.value, stored)
