"""Database URLs: taken apart once, so that no part of a password is taken for a host."""

from __future__ import annotations

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from crypto_core.errors import SettingsError

URL_FORM = "Write it as postgresql://user:password@host:5432/database."


def parse_database_url(url: str, setting: str = "DATABASE_URL") -> URL:
    """Return a PostgreSQL URL in its parts. Raises SettingsError for another, which repeats nothing of it.

    One with a second `@` is refused: what stands behind the first would be looked up as the host and named in
    errors, though it is the rest of a password.
    """
    if url.count("@") > 1:
        raise SettingsError(
            f"{setting} has more than one @: where its password ends isn't clear.",
            remedy="Percent-encode the password: @ as %40, : as %3A, / as %2F, ? as %3F, # as %23, % as %25.",
        )
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # The cause repeats a part of the URL.
        raise SettingsError(f"{setting} is not a database URL.", remedy=URL_FORM) from None
    if parsed.get_backend_name() not in ("postgresql", "postgres"):
        raise SettingsError(f"{setting} is not a PostgreSQL URL.", remedy=URL_FORM)
    return parsed
