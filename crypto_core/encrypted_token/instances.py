"""Token attributes of mapped classes: each value knows its row, and only sealed tokens can be assigned.

A value learns its row when it is loaded or refreshed, when it is assigned to an object whose id is known, and
when the object is flushed. A v2 envelope that belongs to one row is refused by every other: stored there, it
would never open.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any
from uuid import UUID

from sqlalchemy import CHAR, Column, Connection, Integer, String, Table, Uuid, event
from sqlalchemy.orm import InstanceState, InstrumentedAttribute, Mapper
from sqlalchemy.orm.exc import UnmappedColumnError
from sqlalchemy.types import TypeEngine

from crypto_core.encrypted_token.column_input import boxed
from crypto_core.encrypted_token.stored_envelope import StoredEnvelope
from crypto_core.keyring.cipher import SealedToken
from crypto_core.values.errors import RefusedError
from crypto_core.values.references import TokenRef, split_name


class TokenAttribute:
    def __init__(self, attribute: InstrumentedAttribute[Any], column: Column[Any]) -> None:
        self._key = attribute.key
        self._where = str(column)
        self._names = (str(column.table.name), str(column.name))
        self._id_key = _id_key(attribute.property.parent, column)

    def listen(self, class_: type, attribute: InstrumentedAttribute[Any]) -> None:
        # First in line, so that other listeners find what they would find later.
        event.listen(class_, "load", self.loaded, raw=True, insert=True)
        event.listen(class_, "refresh", self.refreshed, raw=True, insert=True)
        event.listen(class_, "after_insert", self.flushed, raw=True, insert=True)
        event.listen(class_, "after_update", self.flushed, raw=True, insert=True)
        event.listen(attribute, "set", self.assigned, raw=True, retval=True)

    def loaded(self, state: InstanceState[Any], context: object) -> None:
        value = state.dict.get(self._key)
        # An UPDATE of many rows leaves its parameter in the objects that it matched.
        if isinstance(value, SealedToken):
            value = value.stored
        if isinstance(value, str):
            value = StoredEnvelope.found(value)
        if isinstance(value, StoredEnvelope):
            # Not the id attribute: that may have been changed and not yet written.
            row_id = state.identity[0] if self._id_key and state.identity else None
            state.dict[self._key] = value.at(self._ref(row_id))

    def refreshed(self, state: InstanceState[Any], context: object, attributes: Iterable[str] | None) -> None:
        if attributes is None or self._key in attributes:
            self.loaded(state, context)

    def assigned(
        self, state: InstanceState[Any], value: object, replaced: object, initiator: object
    ) -> StoredEnvelope | None:
        """Return what is assigned. Raises UnsealedTokenError, RefusedError for another row's envelope."""
        box = boxed(value, self._where)
        return box and self._placed(box, state)

    def flushed(self, mapper: Mapper[Any], connection: Connection, state: InstanceState[Any]) -> None:
        """Tell a value that was written its row, whose id may be new. Raises RefusedError as `assigned`."""
        box = state.dict.get(self._key)
        if isinstance(box, StoredEnvelope):
            state.dict[self._key] = self._placed(box, state)

    def _placed(self, box: StoredEnvelope, state: InstanceState[Any]) -> StoredEnvelope:
        ref = self._ref(self._row_id(state))
        if not box.bound_to_row or box.ref is None:
            return box.at(ref)
        # An object doesn't know the schema in which its session has it.
        there = replace(box.ref, table=split_name(box.ref.table)[1])
        if (there.table, there.column) != self._names if ref is None else there != ref:
            raise RefusedError(
                f"The {box.format} envelope of {box.ref} is bound to its row and never opens as "
                f"{ref or self._where}.",
                remedy="Reveal the token and seal it again for this row.",
            )
        return box

    def _row_id(self, state: InstanceState[Any]) -> object:
        """The id that the row has after the next flush; None where only the flush will tell."""
        if self._id_key is None:
            return None
        row_id = state.dict.get(self._id_key)
        return state.identity[0] if row_id is None and state.identity else row_id

    def _ref(self, row_id: object) -> TokenRef | None:
        printed = as_printed(row_id)
        return None if printed is None else TokenRef(*self._names, printed)


def watch(column_type: type[TypeEngine[Any]]) -> None:
    """Listen on every attribute, of whatever mapped class, whose column is of that type."""

    def instrumented(class_: type, key: str, attribute: InstrumentedAttribute[Any]) -> None:
        columns = getattr(attribute.property, "columns", None)
        if columns and isinstance(columns[0], Column) and isinstance(columns[0].type, column_type):
            TokenAttribute(attribute, columns[0]).listen(class_, attribute)

    event.listen(object, "attribute_instrument", instrumented, propagate=True)


def as_printed(row_id: object) -> str | None:
    """Return a row id as PostgreSQL prints it; None for a type of which that isn't known."""
    if type(row_id) in (int, str) or isinstance(row_id, UUID):
        return str(row_id)
    return None


def _id_key(mapper: Mapper[Any], column: Column[Any]) -> str | None:
    """The attribute that holds the id of the column's row.

    None where there is no such single attribute, or where its values are not what PostgreSQL prints.
    """
    if not isinstance(column.table, Table):
        return None
    of_table, of_mapper = tuple(column.table.primary_key), mapper.primary_key
    if len(of_table) != 1 or len(of_mapper) != 1 or not _printed_alike(of_table[0].type):
        return None
    try:
        attribute = mapper.get_property_by_column(of_table[0])
    except UnmappedColumnError:
        return None
    return attribute.key if attribute is mapper.get_property_by_column(of_mapper[0]) else None


def _printed_alike(type_: TypeEngine[Any]) -> bool:
    if isinstance(type_, Uuid):
        return type_.native_uuid
    return isinstance(type_, Integer | String) and not isinstance(type_, CHAR)
