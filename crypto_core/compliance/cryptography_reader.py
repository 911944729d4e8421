"""Reads which algorithms protect what: from KMS, handshakes, and this process's OpenSSLs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from threading import Event

from crypto_core.aws.fips import OpensslModule, openssl_modules
from crypto_core.aws.kms import KmsApi
from crypto_core.compliance import facts
from crypto_core.compliance.algorithm_uses import (
    use_of_key,
    use_of_signing_key,
    uses_of_endpoint,
    uses_of_keydeck,
    uses_of_tokens,
)
from crypto_core.compliance.algorithms.algorithm import algorithm_of_spec
from crypto_core.compliance.algorithms.aws_endpoints import EndpointFact, look_at_endpoints
from crypto_core.values.cancellation import stop_if
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import InterruptedRunError, KeydeckError
from crypto_core.values.key_names import partition_of, region_of


@dataclass(eq=False)
class CryptographyReader:
    """Blocks on KMS and on handshakes, for some seconds at most.

    `signing_keys` are names of keys, the one that signs first; `former` those that no longer do, with the end
    of each.
    """

    kms: KmsApi
    signing_keys: Sequence[str] = ()
    former: Mapping[str, datetime] = field(default_factory=dict)
    fips_required: bool = False
    modules: Callable[[], tuple[OpensslModule, ...]] = openssl_modules

    def read(
        self,
        tokens: facts.TokenFacts | KeydeckError,
        keys: facts.GuardingKeyFacts | KeydeckError,
        settings: facts.SettingFacts,
        cancelled: Event | None = None,
    ) -> facts.CryptographyFacts:
        """Return the facts; an error in place of tokens or keys is a gap. Raises InterruptedRunError."""
        signing = tuple(self._signing_keys(cancelled))
        endpoints, gaps = self._endpoints(cancelled)
        uses: list[facts.AlgorithmFact | None] = [*map(use_of_signing_key, signing), *uses_of_keydeck()]
        gaps += [f"signing key {one.name}: {one.missing}" for one in signing if one.missing]
        for endpoint in endpoints:
            uses += uses_of_endpoint(endpoint)
        if isinstance(tokens, KeydeckError):
            gaps.append(f"tokens: {tokens.message}")
        else:
            uses[:0] = uses_of_tokens(tokens, settings.written_format)
            gaps += tokens.gaps
        if isinstance(keys, KeydeckError):
            gaps.append(f"keys that guard tokens: {keys.message}")
        else:
            uses += map(use_of_key, keys.keys)
            gaps += [f"{key.name}: spec not known" for key in keys.keys if use_of_key(key) is None]
        return facts.CryptographyFacts(
            algorithms=tuple(one for one in uses if one is not None),
            signing_keys=signing,
            endpoints=endpoints,
            modules=self.modules(),
            fips_required=self.fips_required,
            gaps=tuple(dict.fromkeys(clean(gap, 600) for gap in gaps)),
        )

    def _endpoints(self, cancelled: Event | None) -> tuple[tuple[EndpointFact, ...], list[str]]:
        try:
            places = self.kms.endpoints(self.kms.regions)
        except KeydeckError as error:
            return (), [f"endpoints of AWS: {error.message}"]
        except OSError:
            return (), ["endpoints of AWS: no TLS can be spoken by this process's OpenSSL"]
        found = look_at_endpoints(places, cancelled)
        stop_if(cancelled)
        gaps = [f"TLS with {one.host}: {one.problem}" for one in found if one.problem and one.encrypted]
        return found, gaps

    def _signing_keys(self, cancelled: Event | None) -> Iterator[facts.SigningKeyFact]:
        for number, name in enumerate(dict.fromkeys((*self.signing_keys, *self.former))):
            stop_if(cancelled)
            signs, until = number == 0 and bool(self.signing_keys), self.former.get(name)
            try:
                yield self._described(name, signs=signs, until=until)
            except InterruptedRunError:
                raise
            except KeydeckError as error:
                missing = clean(error.message, 600)
                yield facts.SigningKeyFact(clean(name, 300), signs=signs, until=until, missing=missing)

    def _described(self, name: str, *, signs: bool, until: datetime | None) -> facts.SigningKeyFact:
        region = region_of(name) or self.kms.regions[0]
        told = self.kms.call("DescribeKey", region=region, KeyId=name).get("KeyMetadata") or {}
        spec = clean(told.get("KeySpec"), 60)
        found = algorithm_of_spec(spec, partition_of(region))
        return facts.SigningKeyFact(
            name=clean(name, 300),
            arn=clean(told.get("Arn"), 300),
            spec=spec or None,
            state=clean(told.get("KeyState"), 60) or None,
            algorithm=clean(found.name) if found else None,
            signs=signs,
            until=until,
            missing=clean("" if found else f"spec {spec or 'not given by KMS'} is not known"),
        )
