"""Under which addresses the server is known."""

from __future__ import annotations

import pytest

from console.server_addresses import addresses, is_every_interface
from crypto_core.providers.endpoints import is_loopback
from crypto_core.values.errors import SettingsError


def test_a_loopback_server_is_known_by_every_name_of_loopback_with_its_port() -> None:
    where = addresses("127.0.0.1", 8000)
    assert where.url == "http://127.0.0.1:8000"
    assert where.hosts == {"127.0.0.1:8000", "localhost:8000", "[::1]:8000"}
    assert where.origins == {f"http://{host}" for host in where.hosts}
    assert addresses("::1", 8000).url == "http://[::1]:8000"


def test_browsers_leave_out_the_port_of_the_scheme() -> None:
    assert {"127.0.0.1", "127.0.0.1:80"} <= addresses("127.0.0.1", 80).hosts


def test_another_machine_knows_the_server_by_its_host_alone() -> None:
    assert addresses("192.0.2.7", 8000).hosts == {"192.0.2.7:8000"}


def test_a_proxy_adds_its_own_name() -> None:
    where = addresses("127.0.0.1", 8000, "https://Keydeck.example/")
    assert where.url == "https://keydeck.example"
    assert where.secure
    assert {"keydeck.example", "keydeck.example:443", "127.0.0.1:8000"} <= where.hosts
    assert "https://keydeck.example" in where.origins
    assert "http://keydeck.example" not in where.origins


@pytest.mark.parametrize(
    "url",
    [
        "",
        "keydeck.example",
        "ftp://keydeck.example",
        "https://",
        "https://user@keydeck.example",
        "https://keydeck.example/console",
        "https://keydeck.example?q",
        "https://keydeck.example:99999",
        "https://a.example; script-src *",
        "https://a.example\r\nX: y",
        "https://é.example",
    ],
)
def test_a_public_url_that_is_more_or_less_than_an_origin_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="--public-url"):
        addresses("127.0.0.1", 8000, url)


def test_loopback_is_told_from_what_others_reach() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.8.8.8", "::1", "localhost")))
    assert not any(map(is_loopback, ("", "0.0.0.0", "::", "192.0.2.7", "localhost.example", "127.1")))
    assert all(map(is_every_interface, ("", "0.0.0.0", "::")))
    assert not is_every_interface("192.0.2.7")
