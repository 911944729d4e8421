"""RDS's IAM authentication: each new connection logs in with a token of its own, good for 15 minutes.

https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.IAMDBAuth.html
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine, event

from crypto_core.database.connection.urls import DatabaseUrl
from crypto_core.errors import DatabaseLoginError, KeydeckError

TokenSource = Callable[[str, int, str, str | None], str]
"""Gives a token for host, port, user and Region, None for the configured one. Raises KeydeckError."""

_DEFAULT_PORT = 5432
_RDS_HOST = re.compile(r"(?i).+\.([a-z]{2}(?:-[a-z]+)+-\d)\.rds\.amazonaws\.com(?:\.cn)?")


def region_of_host(host: str) -> str | None:
    """Return the Region that an RDS endpoint's name holds, None for another name."""
    found = _RDS_HOST.fullmatch(host)
    return found[1].lower() if found else None


def log_in_by_token(engine: Engine, url: DatabaseUrl, source: TokenSource) -> None:
    """Have each new connection of an engine send a token as the password.

    Connecting raises DatabaseLoginError where AWS's credentials give none.
    """
    host, port = url.hosts[0], int(next(filter(None, url.ports), _DEFAULT_PORT))

    @event.listens_for(engine, "do_connect")
    def connect(dialect: Any, _: Any, arguments: Any, keywords: dict[str, Any]) -> Any:
        try:
            token = source(host, port, str(url.user), region_of_host(host))
        except KeydeckError as error:
            raise DatabaseLoginError(
                f"No IAM token for the database: {error.message}", remedy=error.remedy
            ) from error
        return dialect.connect(*arguments, **{**keywords, "password": token})
