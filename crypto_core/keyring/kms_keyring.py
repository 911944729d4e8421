"""Data keys from KMS: generate, unwrap, rewrap; key ids pinned, answers checked.

Decrypt passes `KeyId`, ReEncrypt passes `SourceKeyId`, and the key that KMS names in its answer is compared
with the expected one (AWS KMS Developer Guide: "specifying the KMS key is always recommended"). A v1
envelope does not name its key, so `unwrap` asks with each trusted key until KMS agrees, the likely one first,
and goes past a Region that doesn't answer; a v2 envelope does, and no other key is asked. An alias means the
key that it named first, for as long as the keyring lives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Any

from crypto_core.aws.kms import KmsApi
from crypto_core.aws.region_failover import Routes
from crypto_core.envelope import edk_prefix
from crypto_core.envelope.encryption_context import EncryptionContext, require_binding
from crypto_core.keyring import checked_answers
from crypto_core.keyring.data_keys import (
    NO_CONTEXT,
    DataKeyCache,
    GeneratedDataKey,
    KeyAnswer,
    RewrappedDataKey,
    UnwrappedDataKey,
)
from crypto_core.log.observation import SILENT, Observer
from crypto_core.values import errors
from crypto_core.values.key_names import is_key_arn, may_mean, parse_key_name, region_of


class KmsKeyring:
    """The keyring over AWS KMS. Thread-safe."""

    def __init__(
        self,
        kms: KmsApi,
        *,
        write_key: str | None,
        trusted: Iterable[str] = (),
        binding: str | None = None,
        cache: DataKeyCache | None = None,
        observer: Observer = SILENT,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """`write_key` (TOKEN_ENCRYPTION_KEY_ID) wraps new data keys; it and `trusted` may be read with.

        `binding` names the database whose data keys these are; whoever opens and seals with this keyring
        takes it from here. `cache` keeps unwrapped data keys; without one every unwrap is a KMS call. Raises
        SettingsError for what is no KMS key name or no binding.
        """
        self.kms = kms
        self.write_key = write_key
        self.trusted: tuple[str, ...] = tuple(dict.fromkeys([*([write_key] if write_key else []), *trusted]))
        for name in self.trusted:
            parse_key_name(name)
        self.binding = None if binding is None else require_binding(binding)
        self._cache = cache
        self._observer = observer
        self.routes = Routes(kms, clock)
        self.pins: dict[str, str] = {}
        """The ARNs that names of keys were first answered with."""
        self._likely: dict[bytes, str] = {}

    def trust(self, key: str) -> None:
        """Trust a key from now on, in this process: one that its operator made or chose for its tokens."""
        parse_key_name(key)
        self.trusted = tuple(dict.fromkeys((*self.trusted, key)))

    def trusting(self, *keys: str) -> KmsKeyring:
        """Return a keyring that trusts `keys` too, for one command. What is pinned stays pinned."""
        return self._like(self.write_key, [*self.trusted, *keys])

    def limited_to(self, *keys: str) -> KmsKeyring:
        """Return a keyring that reads with `keys` alone, trusted or not, and writes with none."""
        return self._like(None, keys)

    def _like(self, write_key: str | None, trusted: Iterable[str]) -> KmsKeyring:
        keyring = KmsKeyring(
            self.kms,
            write_key=write_key,
            trusted=trusted,
            binding=self.binding,
            cache=self._cache,
            observer=self._observer,
        )
        keyring.routes = self.routes
        keyring.pins.update(self.pins)
        keyring._likely.update(self._likely)
        return keyring

    def generate(
        self, key: str | None = None, *, context: EncryptionContext = NO_CONTEXT
    ) -> GeneratedDataKey:
        """Return a new AES-256 data key (one KMS call). Raises KmsError, SettingsError without a key."""
        name = key or self.write_key
        if not name:
            raise errors.SettingsError(
                "No KMS key to write with.", remedy="Set TOKEN_ENCRYPTION_KEY_ID, or name a key with --to."
            )
        parse_key_name(name)
        with self._purging(name):
            answer = self.kms.call(
                "GenerateDataKey",
                region=region_of(name),
                KeyId=name,
                KeySpec="AES_256",
                **_with("EncryptionContext", context),
            )
        return checked_answers.generated_of(answer, self.pins, name)

    def unwrap(
        self,
        encrypted_data_key: bytes,
        likely: str | None = None,
        *,
        only: str | None = None,
        named: str | None = None,
        context: EncryptionContext = NO_CONTEXT,
    ) -> UnwrappedDataKey:
        """Return the opened data key (one KMS call, more where several keys are trusted; none if cached).

        `only` names a key that the caller trusts for this call: no other is asked, nor the cache. `named` is
        the key ARN that the envelope claims: only that key is asked, and only if it is trusted. Raises
        IncorrectKeyError if none of the keys wrapped it, UntrustedKeyError if KMS answers with another key or
        `named` isn't trusted, KmsUnreachableError if no key opens it and the Region of one doesn't answer,
        otherwise the KmsError of the key that came closest.
        """
        candidates = (only,) if only else tuple(self.candidates(encrypted_data_key, likely, named))
        if self._cache is not None and not only:
            held = self._cached(self._cache, encrypted_data_key, candidates, context)
            if held is not None:
                return held
        search = checked_answers.KeySearch()
        for name in candidates:
            home = self.routes.home(name)
            if home in search.silent and len(self.routes.to(name, self.pins.get(name))) == 1:
                continue  # No replica of it could be asked elsewhere.
            purges = self._cache.purges if self._cache is not None else 0
            with search.asking(name, home):
                with self._purging(name):
                    unwrapped = self._decrypt(name, encrypted_data_key, context)
                    try:
                        checked_answers.must_be_named(unwrapped.wrapped_by.key_arn, named, "Decrypt")
                    except errors.KmsError:
                        unwrapped.data_key.wipe()
                        raise
                if not only:
                    self.remember_likely(encrypted_data_key, name)
                    if self._cache is not None:
                        self._cache.keep(
                            encrypted_data_key,
                            self.pins[name],
                            context,
                            unwrapped.data_key,
                            unwrapped.wrapped_by.key_material_id,
                            purges=purges,
                        )
                return unwrapped
        raise search.failure

    def rewrap(
        self,
        encrypted_data_key: bytes,
        destination: str,
        likely: str | None = None,
        *,
        named: str | None = None,
        context: EncryptionContext = NO_CONTEXT,
    ) -> RewrappedDataKey:
        """Return the data key under `destination` (KMS ReEncrypt; one call, more with several trusted keys).

        The encryption context stays the same. Raises as `unwrap`; SettingsError for a destination that is no
        KMS key name, KmsRequestError if source and destination are in different Regions, which ReEncrypt
        can't bridge.
        """
        parse_key_name(destination)
        search = checked_answers.KeySearch()
        for source in self.candidates(encrypted_data_key, likely, named):
            region = self.routes.home(source if region_of(source) else destination)
            if region in search.silent:
                continue
            try:
                checked_answers.require_same_region(source, destination)
            except errors.KmsRequestError as error:
                search.failures.append(error)
                continue
            with search.asking(source, region):
                with self._purging(source):
                    answer = self.routes.call(
                        "ReEncrypt",
                        region,
                        CiphertextBlob=encrypted_data_key,
                        SourceKeyId=source,
                        DestinationKeyId=destination,
                        **_with("SourceEncryptionContext", context),
                        **_with("DestinationEncryptionContext", context),
                    )
                rewrapped = checked_answers.rewrapped_of(answer, self.pins, source, destination)
                checked_answers.must_be_named(rewrapped.source.key_arn, named, "ReEncrypt")
                self.remember_likely(encrypted_data_key, source)
                return rewrapped
        raise search.failure

    def attribute(
        self, encrypted_data_key: bytes, *, named: str | None = None, context: EncryptionContext = NO_CONTEXT
    ) -> KeyAnswer:
        """Return which key and material wrapped an EDK, asking the Regions in turn, without a KeyId.

        The Region of `named`, the key that the envelope claims, is asked first. The key that KMS names is
        then asked by name: both answers must agree. The data keys that come back are dropped at once. The
        answer is a statement about the envelope, not trust in the key. Raises the KmsError of the Region that
        came closest, ContradictoryAnswerError for answers that disagree.
        """
        failures: list[errors.KmsError] = []
        for region in self.routes.regions(first=region_of(named) if named else None):
            try:
                answer = self._key_answer(region, encrypted_data_key, context)
            except (*checked_answers.TRY_THE_NEXT, errors.KmsUnreachableError) as error:
                failures.append(error)
                continue
            refused = again = None
            try:
                again = self._key_answer(region, encrypted_data_key, context, KeyId=answer.key_arn)
            except checked_answers.TRY_THE_NEXT as error:
                refused = error
            if again != answer:
                other = f"{again.key_arn}, material {again.key_material_id or 'unknown'}" if again else ""
                raise errors.ContradictoryAnswerError(
                    f"KMS names {answer.key_arn}, material {answer.key_material_id or 'unknown'}, for a data "
                    f"key; asked with that key it answers: {refused.message if refused else other}",
                    operation="Decrypt",
                ) from refused
            return answer
        raise checked_answers.closest(failures)

    def _key_answer(self, region: str, blob: bytes, context: EncryptionContext, **key: str) -> KeyAnswer:
        answer = self.routes.call(
            "Decrypt", region, CiphertextBlob=blob, **_with("EncryptionContext", context), **key
        )
        checked_answers.take_plaintext(answer, "Decrypt", "").wipe()
        return KeyAnswer(
            checked_answers.key_arn_of(answer.get("KeyId"), "Decrypt", ""),
            checked_answers.material_of(answer.get("KeyMaterialId")),
        )

    def _decrypt(self, name: str, encrypted_data_key: bytes, context: EncryptionContext) -> UnwrappedDataKey:
        """Ask one key; where it has replicas and its Region doesn't answer, ask theirs."""
        unreachable: errors.KmsUnreachableError | None = None
        refused: errors.KmsError | None = None
        for region, key_id in self.routes.to(name, self.pins.get(name)):
            try:
                answer = self.routes.call(
                    "Decrypt",
                    region,
                    KeyId=key_id,
                    CiphertextBlob=encrypted_data_key,
                    **_with("EncryptionContext", context),
                )
            except errors.KmsUnreachableError as error:
                unreachable = unreachable or error
                continue
            except checked_answers.REFUSALS as error:
                # Not every Region has a replica, and each has a state and a policy of its own: only the key's
                # own Region can refuse for the key.
                refused = refused or error
                if region == region_of(name):
                    raise
                continue
            return UnwrappedDataKey(*checked_answers.data_key_of(answer, "Decrypt", self.pins, name))
        failure = unreachable or refused
        if failure is None:
            raise errors.KeyNotFoundError(f"No Region to ask for {name}.", operation="Decrypt", key=name)
        raise failure

    def _cached(
        self,
        cache: DataKeyCache,
        encrypted_data_key: bytes,
        candidates: Sequence[str],
        context: EncryptionContext,
    ) -> UnwrappedDataKey | None:
        """The data key from the cache, if a key that is trusted now had wrapped it."""
        for name in candidates:
            key_arn = self.pins.get(name)
            held = cache.take(encrypted_data_key, key_arn, context) if key_arn else None
            if key_arn and held is not None:
                self._observer.cache(hit=True)
                return UnwrappedDataKey(held[0], KeyAnswer(key_arn, held[1]))
        self._observer.cache(hit=False)
        return None

    @contextmanager
    def _purging(self, name: str) -> Iterator[None]:
        """Drop what the cache holds of a key as soon as KMS refuses to use it."""
        try:
            yield
        except checked_answers.REFUSALS as error:
            if self._cache is not None:
                concerned = [n for n in (error.key, name) if n]
                arns = [self.pins.get(n) or (n if is_key_arn(n) else None) for n in concerned]
                for key_arn in arns:
                    self._cache.purge(key_arn)
            raise

    def candidates(
        self, encrypted_data_key: bytes, likely: str | None = None, named: str | None = None
    ) -> Iterator[str]:
        """Give the trusted keys to ask, the likeliest first; with `named`, those that may be that key.

        Raises SettingsError if none is trusted, UntrustedKeyError if `named` is not.
        """
        first = [name for name in self.trusted if likely and likely in (name, self.pins.get(name))]
        return self.in_turn([*first, self.remembered(encrypted_data_key)], named)

    def in_turn(self, likeliest: Iterable[str | None], named: str | None = None) -> Iterator[str]:
        """Give the trusted keys, `likeliest` first, whose names are trusted; as `candidates`."""
        if not self.trusted:
            raise errors.SettingsError(
                "No KMS key is trusted for reading.",
                remedy="Set TOKEN_ENCRYPTION_KEY_ID or KEYDECK_TRUSTED_KEYS, or name a key with --trust.",
            )
        if named is not None:
            candidates = [name for name in self.trusted if may_mean(self.pins.get(name, name), named)]
            if not candidates:
                raise errors.UntrustedKeyError(
                    f"The envelope names {named}, which is not trusted.", operation="Decrypt", key=named
                )
            yield from candidates
            return
        given = dict.fromkeys(name for name in likeliest if name)
        yield from given
        # A Region that is down is waited for once, not for every token that another one can open.
        others = [name for name in self.trusted if name not in given]
        yield from sorted(others, key=self.routes.is_down) if others[1:] else others

    def remembered(self, encrypted_data_key: bytes) -> str | None:
        prefix = edk_prefix(encrypted_data_key)
        known = self._likely.get(prefix) if prefix else None
        if known is None or known in self.trusted:
            return known
        return next((name for name in self.trusted if self.pins.get(name) == known), None)

    def expect(self, groups: Mapping[bytes, str]) -> None:
        """Remember the key of each key material group, by the beginning of its encrypted data keys."""
        self._likely.update(groups)

    def remember_likely(self, encrypted_data_key: bytes, name: str) -> None:
        """Remember which of the trusted keys opened a data key: it is asked first for those like it."""
        prefix = edk_prefix(encrypted_data_key)
        # One entry for each key material ever met; a bound all the same.
        if prefix and len(self._likely) < 10_000:
            self._likely[prefix] = name


def _with(parameter: str, context: EncryptionContext) -> dict[str, Any]:
    return {parameter: dict(context)} if context else {}
