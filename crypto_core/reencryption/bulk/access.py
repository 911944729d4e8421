"""The credentials that bulk calls are signed with: frozen, renewed ahead of time, looked for when refused.

botocore's credentials renew themselves where they are used, which may block for seconds. So they are asked in
a thread, and calls go on with those at hand; only where AWS no longer takes these do calls wait.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from time import monotonic

from crypto_core.aws.kms import KmsApi
from crypto_core.aws.sessions import AccessKey
from crypto_core.errors import CredentialsError, KeydeckError

LOOK_SECONDS = 5.0
"""How often botocore is asked: it renews credentials minutes before they run out."""

_log = logging.getLogger(__name__)


class LoopCredentials:
    def __init__(self, kms: KmsApi, threads: Executor, *, clock: Callable[[], float] = monotonic) -> None:
        self._kms = kms
        self._threads = threads
        self._clock = clock
        self._held: AccessKey | None = None
        self._look_at = 0.0
        self._looking: asyncio.Task[None] | None = None
        self._renewing = asyncio.Lock()

    def at_hand(self) -> AccessKey | None:
        """Return the credentials at hand unless it is time to ask for others."""
        return self._held if self._clock() < self._look_at else None

    async def key(self) -> AccessKey:
        """Return the credentials at hand; waits only for the first. Raises KmsError."""
        held = self._held
        if held is None:
            async with self._renewing:
                return self._held or await self._fetch()
        if self._clock() >= self._look_at and self._looking is None:
            self._looking = asyncio.create_task(self._look())
        return held

    async def renewed(self, refused: AccessKey, error: CredentialsError) -> AccessKey:
        """Return other credentials than those that AWS refused. Raises `error` if there are none."""
        async with self._renewing:
            if self._held is not None and self._held is not refused:
                return self._held
            loop = asyncio.get_running_loop()
            if await loop.run_in_executor(self._threads, self._kms.refused, refused.session):
                return await self._fetch()
            await loop.run_in_executor(self._threads, self._kms.give_up, error)
        raise error

    async def close(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    async def _look(self) -> None:
        try:
            async with self._renewing:
                await self._fetch()
        except KeydeckError as error:
            # Those at hand are good until AWS says otherwise.
            _log.info("Credentials can't be looked for: %s", error)
            self._look_at = self._clock() + LOOK_SECONDS
        finally:
            self._looking = None

    async def _fetch(self) -> AccessKey:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, self._kms.access_key)
        self._look_at = self._clock() + LOOK_SECONDS
        if self._held is None or found != self._held:
            self._held = found
        return self._held
