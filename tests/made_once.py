"""What a process of tests makes once: the product would make it anew for each session, client and engine.

All of it is the same each time, and tests make thousands of each.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import FunctionType, ModuleType
from typing import Any

import botocore.hooks
import botocore.session
from botocore.client import ClientCreator
from botocore.hooks import EventAliaser
from botocore.model import ServiceModel
from sqlalchemy import Connection, Engine, event
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.util import LRUCache

_ADDRESSES = "rfc3987_syntax"


def share() -> None:
    """Share all of it from now on in this process, and with the processes that are forked from it."""
    _service_models()
    _client_methods()
    _event_names()
    _signatures_of_handlers()
    _compiled_statements()
    _grammars_of_addresses()


def _service_models() -> None:
    """Each session of boto3 would read the services' models from their files again."""
    botocore.session.create_loader = cache(botocore.session.create_loader)


def _client_methods() -> None:
    """Each client of boto3 would make the methods of its service again."""
    make = ClientCreator._create_methods
    made: dict[tuple[str, str], dict[str, object]] = {}

    def methods(creator: ClientCreator, model: ServiceModel) -> dict[str, object]:
        name = (model.service_name, model.api_version)
        if name not in made:
            made[name] = make(creator, model)
        return dict(made[name])

    ClientCreator._create_methods = methods


def _event_names() -> None:
    """Each session would look for the newer name of each of its hundred events again."""
    alias = EventAliaser._alias_event_name
    known: dict[str, str] = {}

    def aliased(aliaser: EventAliaser, name: str) -> str:
        if name not in known:
            known[name] = alias(aliaser, name)
        return known[name]

    EventAliaser._alias_event_name = aliased


def _signatures_of_handlers() -> None:
    """Each session would inspect the signatures of botocore's own handlers again."""
    look = botocore.hooks.accepts_kwargs
    looked_at = cache(look)

    def accepts(handler: Any) -> bool:
        # A bound method would keep its client alive.
        return bool(looked_at(handler) if isinstance(handler, FunctionType) else look(handler))

    botocore.hooks.accepts_kwargs = accepts


def _compiled_statements() -> None:
    """Each test has engines of its own, for the same PostgreSQL and like stores: one compiles for all."""
    shared: Any = LRUCache(10_000)

    @event.listens_for(Engine, "engine_connect")
    def connected(connection: Connection) -> None:
        connection.execution_options(compiled_cache=shared)

    def same(one: Any, other: object) -> bool:
        return type(one) is type(other) and one.statement_compiler is other.statement_compiler

    for dialect in (PGDialect_psycopg2, SQLiteDialect_pysqlite):
        dialect.__eq__ = same  # type: ignore[method-assign]
        dialect.__hash__ = lambda one: hash(one.statement_compiler)  # type: ignore[method-assign]


def _grammars_of_addresses() -> None:
    """jsonschema, where it finds this, would make 38 grammars in each process, which takes a second."""
    if find_spec(_ADDRESSES) is None:
        return

    def is_valid_syntax(term: str, value: str) -> bool:
        return bool(_grammars().is_valid_syntax(term, value))

    later: Any = ModuleType(_ADDRESSES)
    later.is_valid_syntax = is_valid_syntax
    sys.modules[_ADDRESSES] = later


@cache
def _grammars() -> Any:
    del sys.modules[_ADDRESSES]
    return import_module(_ADDRESSES)
