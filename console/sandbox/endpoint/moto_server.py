"""moto inside the gate's process: its WSGI application and its backends.

moto is imported in a worker thread after the port is open, because that takes about half a second. Its
backends are plain dictionaries without locks, so one thread at a time runs its application; reads from
the event loop copy what they iterate over.
"""

import asyncio
import io
import json
import logging
import sys
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote_to_bytes
from wsgiref.util import setup_testing_defaults

from console.sandbox.endpoint.principals import ACCOUNT, SandboxPrincipal
from console.sandbox.http_message import HttpAnswer, HttpRequest

if TYPE_CHECKING:
    from moto.cloudtrail.models import CloudTrailBackend
    from moto.kms.models import KmsBackend

T = TypeVar("T")
log = logging.getLogger(__name__)

_SET_BY_THE_SERVER = frozenset(
    {"content-length", "connection", "transfer-encoding", "date", "server", "x-amzn-requestid"}
)


class MotoServer:
    def __init__(self, seed: int | None) -> None:
        self._seed = seed
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="moto")
        self._application: Callable[..., Iterable[bytes]] | None = None
        self._loaded: asyncio.Future[None] | None = None

    def start(self) -> None:
        """Begin to import moto in its thread; needs a running event loop."""
        self._loaded = asyncio.ensure_future(self.run_in_thread(self._load))

    def stop(self) -> None:
        """Let the thread end when its current request is done."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def ready(self) -> None:
        """Wait until moto is imported. Raises what the import raised."""
        if self._loaded is not None:
            await asyncio.shield(self._loaded)
            self._loaded = None

    @property
    def is_ready(self) -> bool:
        return self._loaded is None

    async def run_in_thread(self, work: Callable[[], T]) -> T:
        """Run `work` in moto's thread, where nothing else touches the backends."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def answer(self, request: HttpRequest) -> HttpAnswer:
        """Pass a request on to moto; a crash inside moto becomes a 500 InternalFailure."""
        return await self.run_in_thread(lambda: self._call(request))

    def kms(self, region: str) -> "KmsBackend":
        from moto.kms.models import kms_backends

        return kms_backends[ACCOUNT][region]

    def backends(self, service: str) -> dict[str, Any]:
        """Return what moto has of a service, by Region. Call it through `run_in_thread`."""
        from moto.backends import get_backend

        return dict(get_backend(service)[ACCOUNT].items())  # type: ignore[call-overload]

    def trails(self) -> "list[CloudTrailBackend]":
        """Return the CloudTrail backends of every region that has a trail."""
        from moto.cloudtrail.models import cloudtrail_backends

        return [backend for backend in list(cloudtrail_backends[ACCOUNT].values()) if backend.trails]

    def put_object(
        self, bucket: str, key: str, value: bytes, metadata: Mapping[str, str] | None = None
    ) -> None:
        """Store an object with headers. Raises moto's MissingBucket. Call it through `run_in_thread`."""
        from moto.s3.models import s3_backends

        stored = s3_backends[ACCOUNT]["aws"].put_object(bucket, key, value)
        stored.set_metadata(dict(metadata or {}))

    def issued_to(self, access_key_id: str) -> SandboxPrincipal | None:
        """Return whom moto issued an access key to: a role session or an IAM user."""
        from moto.iam.models import iam_backends
        from moto.sts.models import sts_backends

        role = sts_backends[ACCOUNT]["aws"].get_assumed_role_from_access_key(access_key_id)
        if role is not None:
            return SandboxPrincipal(role.role_arn.rpartition("/")[2], "role", session=role.session_name)
        user = iam_backends[ACCOUNT]["aws"].get_user_from_access_key_id(access_key_id)
        return SandboxPrincipal(user.name, "user") if user is not None else None

    def _load(self) -> None:
        from moto.moto_api._internal import mock_random
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

        if self._seed is not None:
            mock_random.seed(self._seed)
        _share_spare_private_keys()
        _keep_method_names()
        application: Any = DomainDispatcherApplication(create_backend_app)
        # It would look into two hundred folders for each request.
        application.get_backend_for_host = cache(application.get_backend_for_host)
        self._application = application

    def _call(self, request: HttpRequest) -> HttpAnswer:
        application = self._application
        if application is None:
            raise RuntimeError("moto isn't imported yet: wait for ready()")
        from werkzeug.test import run_wsgi_app

        try:
            chunks, status, headers = run_wsgi_app(application, _environ(request), buffered=True)
        except NotImplementedError as error:
            return _failure(501, "NotImplemented", f"moto doesn't have this operation: {error}")
        except Exception:  # the answer is a 500, as from any server; the log has the stack
            log.exception("moto failed on %s %s", request.method, request.target)
            return _failure(500, "InternalFailure", "moto failed; see the endpoint's stderr")
        kept = [pair for pair in headers if pair[0].lower() not in _SET_BY_THE_SERVER]
        if request.method == "HEAD":
            kept += [pair for pair in headers if pair[0].lower() == "content-length"]
        return HttpAnswer(int(status.split(" ", 1)[0]), kept, b"".join(chunks))


def _share_spare_private_keys() -> None:
    """Let symmetric and HMAC keys share one RSA key: moto makes each one of its own, which nothing uses."""
    from moto.kms import models

    make = models.generate_private_key  # type: ignore[attr-defined]
    spare = cache(lambda: make("SYMMETRIC_DEFAULT"))

    def make_or_share(key_spec: str) -> Any:
        return spare() if key_spec.startswith(("SYMMETRIC_", "HMAC_")) else make(key_spec)

    models.generate_private_key = make_or_share  # type: ignore[attr-defined]


def _keep_method_names() -> None:
    """moto would look through a service's class for its operations at each request."""
    from moto.core import responses

    responses.method_names_from_class = cache(responses.method_names_from_class)  # type: ignore[attr-defined]


def _failure(status: int, code: str, message: str) -> HttpAnswer:
    body = json.dumps({"__type": code, "message": message}).encode()
    return HttpAnswer(status, [("Content-Type", "application/x-amz-json-1.1")], body)


def _environ(request: HttpRequest) -> dict[str, Any]:
    from moto.core.request import (
        PRESERVED_HEADER_NAMES_ENVIRON_KEY,
        environ_key_for_header,
        should_preserve_original_header_name,
    )

    path, _, query = request.target.partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "RAW_URI": request.target,
        "REQUEST_URI": request.target,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.input": io.BytesIO(request.body),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
    }
    preserved: dict[str, str] = {}
    for name, value in request.headers.items():
        if name.lower() in ("transfer-encoding", "content-length"):
            continue
        key = environ_key_for_header(name)
        environ[key] = f"{environ[key]},{value}" if key in environ else value
        if should_preserve_original_header_name(name):
            preserved[key] = name
    environ[PRESERVED_HEADER_NAMES_ENVIRON_KEY] = preserved
    environ["CONTENT_LENGTH"] = str(len(request.body))
    setup_testing_defaults(environ)  # what every server says of itself
    return environ
