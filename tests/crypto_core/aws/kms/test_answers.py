"""KMS over HTTP: no answer, answers that are none, and what is tried again."""

from __future__ import annotations

import base64
import socket
from collections.abc import Callable, Iterator

import pytest

from console.sandbox.endpoint import EndpointControl, Fault
from crypto_core.aws.kms import KmsApi
from crypto_core.values.errors import KmsRequestError, KmsUnreachableError, SettingsError
from tests.crypto_core.aws.kms.stage import NOWHERE
from tests.http_answers import answering


def chain_of(error: BaseException) -> str:
    """All that an exception and what it came from could tell a log or a screen."""
    told, links = [], [error]
    while links:
        link = links.pop()
        told += [str(link), repr(link), repr(link.args), repr(getattr(link, "object", None))]
        links += [e for e in (link.__cause__, link.__context__) if e is not None]
    return "\n".join(told)


def test_a_closed_port_is_unreachable(aws: EndpointControl) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(KmsUnreachableError) as caught:
        KmsApi(endpoint_url=f"http://127.0.0.1:{port}", attempts=1).call("ListKeys")
    assert f"127.0.0.1:{port}" in str(caught.value)
    assert "AWS_ENDPOINT_URL" in caught.value.remedy
    assert caught.value.transient


def test_an_endpoint_that_hangs_is_given_up_after_the_read_timeout(
    aws: EndpointControl, new_key: Callable[[], str]
) -> None:
    key = new_key()
    aws.add_fault(Fault("DescribeKey", "hang"))
    with pytest.raises(KmsUnreachableError, match="DescribeKey") as caught:
        KmsApi(read_timeout=0.1, attempts=1).call("DescribeKey", KeyId=key)
    assert caught.value.key == key


def test_a_host_that_does_not_exist_is_unreachable(aws: EndpointControl) -> None:
    with pytest.raises(KmsUnreachableError):
        KmsApi(endpoint_url="http://kms.invalid", connect_timeout=1, attempts=1).call("ListKeys")


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "all_proxy"])
@pytest.mark.parametrize("url", ["http://u:p@secret-word{}@127.0.0.1:1", "u:secret-word{}x@127.0.0.1:1"])
@pytest.mark.parametrize("sign", "@/?#")
def test_a_proxy_whose_password_could_be_taken_for_its_host_is_refused_unasked(
    monkeypatch: pytest.MonkeyPatch, name: str, url: str, sign: str
) -> None:
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv(name, url.format(sign))
    kms = KmsApi(["eu-central-1"], endpoint_url="https://kms.invalid", connect_timeout=1, attempts=1)
    with pytest.raises(SettingsError, match=rf"^{name.upper()} .*Percent-encode it") as caught:
        kms.call("ListKeys")
    assert "secret-word" not in chain_of(caught.value)


@pytest.mark.parametrize("url", ["http://u:secret-word:more@127.0.0.1:1", "http://u:secret-word"])
def test_what_is_wrong_with_a_proxy_is_told_without_its_password(
    aws: EndpointControl, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("HTTPS_PROXY", url)
    with pytest.raises(KmsUnreachableError) as caught:
        KmsApi(endpoint_url="https://kms.invalid", connect_timeout=1, attempts=1).call("ListKeys")
    assert "secret-word" not in str(caught.value)


DATA_KEY = base64.b64encode(b"a data key of thirty-two bytes!!").decode()


@pytest.fixture
def someone_else() -> Iterator[tuple[str, list[bytes]]]:
    """An HTTP server that is not AWS and answers with the last body of the list."""
    bodies: list[bytes] = []

    with answering(lambda _: (200, {}, bodies[-1])) as url:
        yield url, bodies


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"null",
        b'"text"',
        b'{"Plaintext": "%s", "KeyId": "\xff"}' % DATA_KEY.encode(),
        b'{"Plaintext": "%s"}' % DATA_KEY.rstrip("=").encode(),
        b'{"Plaintext": ["%s"]}' % DATA_KEY.encode(),
    ],
)
def test_an_answer_that_is_not_awss_is_an_error_of_ours_that_does_not_repeat_it(
    aws: EndpointControl, someone_else: tuple[str, list[bytes]], body: bytes
) -> None:
    url, bodies = someone_else
    bodies.append(body)
    kms = KmsApi(endpoint_url=url, attempts=1)
    with pytest.raises(KmsRequestError, match="is not AWS") as caught:
        kms.call("Decrypt", KeyId=NOWHERE, CiphertextBlob=b"x")
    assert caught.value.key == NOWHERE
    assert DATA_KEY[:10] not in chain_of(caught.value)
    assert caught.value.__context__ is None


def test_a_web_page_instead_of_sts_is_an_error_of_ours(
    aws: EndpointControl, someone_else: tuple[str, list[bytes]]
) -> None:
    url, bodies = someone_else
    bodies.append(b"<html>Sign in to the guest network</html>")
    with pytest.raises(KmsRequestError, match="GetCallerIdentity"):
        KmsApi(endpoint_url=url, attempts=1).identity()
