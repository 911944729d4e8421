"""What goes wrong between Keydeck and a provider never makes a token dead, and never sends it elsewhere."""

from __future__ import annotations

import logging
import os
import socket
import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from threading import Event, Thread

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from console.sandbox.providers_control import ProviderControl
from crypto_core.providers.answers import Liveness
from crypto_core.providers.endpoints import Endpoints
from crypto_core.providers.liveness_checks import ask
from crypto_core.providers.messages import NoAnswer, Request, Target, bearer
from crypto_core.providers.transport import Transport
from crypto_core.values.errors import InterruptedRunError, ProviderError, SettingsError
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import Secret
from tests.crypto_core.canary import chain_of
from tests.crypto_core.providers.conftest import Waited

TOKEN = "ghp_KEYDECKDEMOcanary0123456789"
REF = TokenRef("gh_connection", "access_token", "gh-1")


@pytest.fixture
def github(endpoints: Endpoints) -> Target:
    return Target(REF, "github", endpoints.of("github"))


@pytest.mark.parametrize(
    ("kind", "reason", "requests"),
    [
        ("throttled", "asked too often", 3),
        ("error", "HTTP 500", 3),
        ("reset", "the connection broke", 3),
        ("hang", "no answer in time", 3),
        ("garbage", "HTTP 200", 1),
        ("huge", "more than 262,144 bytes", 1),
        ("redirect", "HTTP 307: sends elsewhere", 1),
        ("forbidden", "HTTP 403", 1),
    ],
)
def test_a_failure_says_nothing_of_the_token_and_is_tried_again_where_that_helps(
    kind: str, reason: str, requests: int, providers: ProviderControl, github: Target, waited: Waited
) -> None:
    providers.fault("github", kind, 3)
    with Transport(waited.clock, read_seconds=0.3) as transport:
        said = ask(transport, github, Secret.of(TOKEN))
    assert said.liveness is Liveness.UNKNOWN
    assert reason in said.reason
    calls = providers.calls()
    # A redirect would have come back as a request to "elsewhere", which is the same server by another name.
    assert [call.provider for call in calls] == ["github"] * requests


def test_a_passing_failure_is_waited_out_as_long_as_asked(
    providers: ProviderControl, github: Target, waited: Waited
) -> None:
    providers.fault("github", "throttled", 1, retry_after="7")
    with Transport(waited.clock) as transport:
        assert ask(transport, github, Secret.of(TOKEN)).liveness is Liveness.ALIVE
    assert 7.0 in waited.asked


@pytest.mark.parametrize("told", ["3600", "Fri, 31 Dec 2100 23:59:59 GMT", "9" * 400])
def test_who_asks_to_wait_for_too_long_is_not_asked_again(
    told: str, providers: ProviderControl, github: Target, waited: Waited
) -> None:
    providers.fault("github", "throttled", 3, retry_after=told)
    with Transport(waited.clock) as transport:
        assert ask(transport, github, Secret.of(TOKEN)).liveness is Liveness.UNKNOWN
    assert len(providers.calls()) == 1
    assert max(waited.asked, default=0.0) < 30


def test_a_host_that_fails_again_and_again_is_left_alone_for_a_while(
    providers: ProviderControl, github: Target, waited: Waited
) -> None:
    providers.fault("github", "reset", 100)
    now = [0.0]
    with Transport(replace(waited.clock, monotonic=lambda: now[0])) as transport:
        told = [ask(transport, github, Secret.of(TOKEN)).reason for _ in range(6)]
        assert told == ["the connection broke"] * 3 + ["not asked: its host has not answered before"] * 3
        assert len(providers.calls()) == 9
        providers.clear()
        now[0] += 3_600
        assert ask(transport, github, Secret.of(TOKEN)).liveness is Liveness.ALIVE


def test_requests_to_one_host_keep_its_pace(
    providers: ProviderControl, github: Target, waited: Waited
) -> None:
    with Transport(waited.clock, every=50.0) as transport:
        for _ in range(3):
            ask(transport, github, Secret.of(TOKEN))
    assert [round(seconds, -1) for seconds in waited.asked] == [50, 100]


def test_cookies_that_vouch_for_one_token_are_not_sent_with_the_next(
    providers: ProviderControl, endpoints: Endpoints, waited: Waited
) -> None:
    jira = Target(REF, "jira", endpoints.of("atlassian"), "bot@a.example", "team.atlassian.net")
    with Transport(waited.clock) as transport:
        for token in ("ATATT3KEYDECKDEMO", "ATATT3stolen"):
            ask(transport, jira, Secret.of(token))
    first, second = providers.calls()
    assert (first.cookie, second.cookie) == (False, False)
    assert first.forwarded == "team.atlassian.net"


def test_where_nobody_listens_there_is_no_answer(waited: Waited) -> None:
    with socket.socket() as nobody, Transport(waited.clock) as transport:
        nobody.bind(("127.0.0.1", 0))
        request = Request("GET", f"http://127.0.0.1:{nobody.getsockname()[1]}/user", bearer(TOKEN))
        assert transport.send(request) == NoAnswer("no connection")


def test_a_certificate_that_nobody_vouches_for_ends_it_before_the_token_is_sent(
    waited: Waited, tmp_path: Path
) -> None:
    listens = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    listens.load_cert_chain(_self_signed(tmp_path))
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server, Transport(waited.clock) as transport:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                try:
                    heard.append(listens.wrap_socket(connection, server_side=True).recv(9_999))
                except OSError:
                    heard.append(b"")

        serving = Thread(target=serve)
        serving.start()
        request = Request("GET", f"https://127.0.0.1:{server.getsockname()[1]}/user", bearer(TOKEN))
        assert transport.send(request) == NoAnswer("its TLS certificate can't be verified")
        serving.join()
    assert heard == [b""]


def _self_signed(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    path = folder / "self-signed.pem"
    path.write_bytes(key.private_bytes(pem, pkcs8, plain) + certificate.public_bytes(pem))
    return path


def test_a_token_that_no_header_takes_is_not_sent(
    providers: ProviderControl, github: Target, waited: Waited
) -> None:
    with Transport(waited.clock) as transport:
        for token in ("ghp_a\r\nHost: evil.example", "ghp_ä", "ghp_ a", "", "g" * 20_000):
            assert ask(transport, github, Secret.of(token)).liveness is Liveness.UNKNOWN
    assert providers.calls() == ()


def test_cancelled_it_stops_before_the_next_request(
    providers: ProviderControl, github: Target, waited: Waited
) -> None:
    cancelled = Event()
    cancelled.set()
    with Transport(waited.clock) as transport, pytest.raises(InterruptedRunError):
        ask(transport, github, Secret.of(TOKEN), cancelled)
    assert providers.calls() == ()


def test_no_log_record_and_no_error_tells_a_header(
    providers: ProviderControl,
    github: Target,
    waited: Waited,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore", "httpcore.http11", "httpcore.connection"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    for kind in ("reset", "garbage", "redirect"):
        providers.fault("github", kind)
    with Transport(waited.clock) as transport:
        told = [ask(transport, github, Secret.of(TOKEN)) for _ in range(4)]
    monkeypatch.setenv("HTTPS_PROXY", f"nonsense://user:{TOKEN}@proxy.example")
    with Transport(waited.clock) as transport, pytest.raises(ProviderError) as failed:
        transport.send(Request("GET", "https://api.github.invalid/user", bearer(TOKEN)))
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:p@{TOKEN}#@proxy.example")
    with Transport(waited.clock) as transport, pytest.raises(SettingsError, match="HTTPS_PROXY") as refused:
        transport.send(Request("GET", "https://api.github.invalid/user", bearer(TOKEN)))
    everything = caplog.text + repr(told) + chain_of(failed.value) + chain_of(refused.value)
    assert TOKEN not in everything
    assert "canary" not in everything
    assert not [record for record in caplog.records if record.name.startswith("http")]


def test_this_machine_is_reached_without_the_environments_proxy(
    providers: ProviderControl, github: Target, waited: Waited, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [n for n in os.environ if n.lower() == "no_proxy"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with Transport(waited.clock) as transport:
        assert ask(transport, github, Secret.of(TOKEN)).liveness is Liveness.ALIVE
