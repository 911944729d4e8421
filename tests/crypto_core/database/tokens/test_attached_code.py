"""Each kind of object by which others have code run on a table is listed, and nothing harmless."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from crypto_core.database.connection.engine import connected
from crypto_core.database.tokens.attached_code import EVENTS, AttachedCode, attached_code
from crypto_core.database.tokens.tables import PLATFORM_TABLES

CHECKED = "CREATE FUNCTION public.f(text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true'"
MADE = "CREATE FUNCTION public.f(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1'"
FIRED = "CREATE FUNCTION public.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'"
T = "public.gh_connection"
VIEW = (
    f"ALTER TABLE {T} RENAME TO gh_base",
    f"CREATE VIEW {T} AS SELECT * FROM public.gh_base",
    f"GRANT SELECT, UPDATE ON {T} TO PUBLIC",
)
OBJECTS: dict[str, tuple[str, ...]] = {
    "trigger": (FIRED, f"CREATE TRIGGER o BEFORE UPDATE ON {T} FOR EACH ROW EXECUTE FUNCTION public.f()"),
    "constraint trigger": (
        FIRED,
        f"CREATE CONSTRAINT TRIGGER o AFTER UPDATE ON {T} DEFERRABLE FOR EACH ROW "  # noqa: ISC004
        "EXECUTE FUNCTION public.f()",
    ),
    "check": (CHECKED, f"ALTER TABLE {T} ADD CONSTRAINT o CHECK (public.f(access_token)) NOT VALID"),
    "default": (MADE, f"ALTER TABLE {T} ALTER org_id SET DEFAULT public.f('x')"),
    "generated column": (
        MADE,
        f"ALTER TABLE {T} ADD o text GENERATED ALWAYS AS (public.f(access_token)) STORED",
    ),
    "index": (CHECKED, f"CREATE INDEX o ON {T} (id) WHERE public.f(access_token)"),
    "policy": (CHECKED, f"CREATE POLICY o ON {T} USING (public.f(access_token))"),
    "domain": (
        CHECKED,
        "CREATE DOMAIN public.o AS text CHECK (public.f(VALUE))",
        f"ALTER TABLE {T} ALTER access_token TYPE public.o",
    ),
    "rule": (f"CREATE RULE o AS ON UPDATE TO {T} DO ALSO SELECT 1",),
    "view": (
        MADE,
        f"ALTER TABLE {T} RENAME TO gh_base",
        f"CREATE VIEW {T} AS SELECT b.*, public.f(b.id) AS o FROM public.gh_base b",
        f"GRANT SELECT, UPDATE ON {T} TO PUBLIC",
    ),
    "event trigger": (
        "CREATE FUNCTION public.f() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'",
        "CREATE EVENT TRIGGER o ON ddl_command_end EXECUTE FUNCTION public.f()",
    ),
}


def code(
    services: Container, superuser: Engine, *statements: str, events: int = EVENTS
) -> tuple[AttachedCode, ...]:
    with superuser.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    with connected(services.engine) as connection:
        return attached_code(connection, PLATFORM_TABLES, events=events)


@pytest.mark.parametrize("kind", OBJECTS)
def test_each_kind_of_object_is_listed_with_its_function(
    services: Container, superuser: Engine, kind: str
) -> None:
    assert code(services, superuser) == ()
    (found,) = code(services, superuser, *OBJECTS[kind])
    assert found.kind == kind
    assert found.table == ("" if kind == "event trigger" else "gh_connection")
    assert found.function.startswith("" if kind == "rule" else "public.f(")


def test_what_hangs_on_a_partition_or_below_a_view_is_listed(services: Container, superuser: Engine) -> None:
    (found,) = code(
        services,
        superuser,
        FIRED,
        "CREATE TABLE public.child () INHERITS (public.gh_connection)",
        "CREATE TRIGGER o BEFORE UPDATE ON public.child FOR EACH ROW EXECUTE FUNCTION public.f()",
    )
    assert (found.kind, found.relation) == ("trigger", "public.child")
    both = code(
        services,
        superuser,
        "DROP TABLE public.child",
        f"CREATE TRIGGER o BEFORE UPDATE ON {T} FOR EACH ROW EXECUTE FUNCTION public.f()",
        *VIEW,
        f"CREATE TRIGGER p INSTEAD OF UPDATE ON {T} FOR EACH ROW EXECUTE FUNCTION public.f()",
    )
    assert {(c.name, c.relation) for c in both} == {("o", "public.gh_base"), ("p", "public.gh_connection")}


def test_an_operator_a_cast_and_a_domain_within_an_expression_are_followed(
    services: Container, superuser: Engine
) -> None:
    found = code(
        services,
        superuser,
        "CREATE FUNCTION public.e(text, text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true'",
        "CREATE OPERATOR public.=== (FUNCTION = public.e, LEFTARG = text, RIGHTARG = text)",
        CHECKED,
        "CREATE DOMAIN public.d AS text CHECK (public.f(VALUE))",
        f"ALTER TABLE {T} ADD CONSTRAINT a CHECK (access_token OPERATOR(public.===) 'x') NOT VALID",
        f"ALTER TABLE {T} ADD CONSTRAINT b CHECK (CAST(access_token AS public.d) <> '') NOT VALID",
    )
    assert [(c.kind, c.name, c.function) for c in found] == [
        ("check", "a", "public.e(text, text)"),
        ("domain", "d", "public.f(text)"),
    ]


def test_built_in_functions_that_run_statements_are_listed_and_others_are_not(
    services: Container, superuser: Engine
) -> None:
    harmless = (
        f"ALTER TABLE {T} ADD CONSTRAINT a CHECK (octet_length(access_token) < 9999) NOT VALID",
        f"ALTER TABLE {T} ALTER created_at SET DEFAULT now()",
        f"CREATE INDEX i ON {T} (lower(org_id)) WHERE org_id LIKE 'x%'",
        "CREATE EXTENSION citext SCHEMA public",
        f"ALTER TABLE {T} ALTER org_id TYPE public.citext",
    )
    assert code(services, superuser, *harmless) == ()
    (found,) = code(
        services,
        superuser,
        f"ALTER TABLE {T} ADD CONSTRAINT o CHECK (query_to_xml('SELECT 1', true, true, '') IS NOT NULL) "
        "NOT VALID",
    )
    assert found.function.startswith("pg_catalog.query_to_xml")


def test_another_body_of_the_same_function_has_another_digest(services: Container, superuser: Engine) -> None:
    (before,) = code(services, superuser, *OBJECTS["trigger"])
    changed = FIRED.replace("CREATE", "CREATE OR REPLACE").replace("RETURN NEW", "RETURN OLD")
    (after,) = code(services, superuser, changed)
    assert str(before) == str(after)
    assert before.digest != after.digest


def test_only_triggers_of_the_statement_that_is_meant_are_listed(
    services: Container, superuser: Engine
) -> None:
    insert = f"CREATE TRIGGER o BEFORE INSERT ON {T} FOR EACH ROW EXECUTE FUNCTION public.f()"
    assert code(services, superuser, FIRED, insert, events=16) == ()
    assert len(code(services, superuser, events=4)) == 1
