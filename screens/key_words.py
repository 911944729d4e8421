"""Names of keys and key materials in a row, as far as KMS reports them."""

from __future__ import annotations

from collections.abc import Iterable

from crypto_core.keys.state import KeyState
from crypto_core.values.key_names import same_key, short_key, short_material


class KeyWords:
    """Names for the keys that KMS let this identity see; a key that isn't among them goes by its id's end."""

    def __init__(self, keys: Iterable[KeyState] = ()) -> None:
        self._keys = {key.key_arn: key for key in keys}

    def find(self, key_arn: str | None) -> KeyState | None:
        """The key, or a replica of it, that is known under this ARN."""
        if key_arn is None:
            return None
        exact = self._keys.get(key_arn)
        if exact is not None:
            return exact
        return next((key for arn, key in self._keys.items() if same_key(arn, key_arn)), None)

    def named(self, name: str | None) -> KeyState | None:
        """The key that a configured name means, as far as KMS listed it."""
        return next((key for key in self._keys.values() if key.is_named(name)), None)

    def state(self, key_arn: str | None) -> str | None:
        """KMS's word for the key's state, None where it isn't known."""
        key = self.find(key_arn)
        return key.state if key else None

    def short(self, key_arn: str | None) -> str:
        """The alias without its "alias/", or the end of the key id; "-" for no key."""
        if key_arn is None:
            return "-"
        key = self.find(key_arn)
        return (key.name if key else short_key(key_arn)).removeprefix("alias/")

    def long(self, key_arn: str | None, alias: str | None = None) -> str:
        """The alias and the end of the key id: "alias/tokens …9f2c"."""
        if key_arn is None:
            return "unknown key"
        key = self.find(key_arn)
        name = alias or (key.aliases[0] if key and key.aliases else "")
        return f"{name} {short_key(key_arn)}".strip()

    def generation(self, key_arn: str | None, key_material_id: str | None) -> str:
        """The material's number, 1 being the first, else the beginning of its id; "" where it isn't known."""
        if key_material_id is None:
            return ""
        key = self.find(key_arn)
        number = key.material_number(key_material_id) if key else None
        return str(number) if number is not None else short_material(key_material_id)

    def short_with_generation(self, key_arn: str | None, key_material_id: str | None) -> str:
        """One cell for both: "tokens · 3"."""
        generation = self.generation(key_arn, key_material_id)
        return f"{self.short(key_arn)} · {generation}" if generation else self.short(key_arn)
