"""Bytes by key: S3, and a folder that behaves the same.

Nothing here relies on conditional PUT, which some servers accept and ignore: keys are content
hashes or carry a nonce, so that a second writer writes the same bytes or another key.
"""

import errno
import mimetypes
import os
import re
import secrets
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParser, ResponseParserFactory
from botocore.utils import get_environ_proxies

from director.errors import Actor, DirectorError, StoreError
from tasks.files import write_whole
from tasks.settings import Settings
from tasks.store.plain import Item, Page, PlainReader

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

T = TypeVar("T")
_KEY = re.compile(r"(?!.*(?:^|/)\.)[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)*")
_CONNECT_S, _READ_S, _CONNECTIONS = 2, 20, 32
_MISSING = frozenset({"NoSuchKey", "NotFound", "404"})


class NotFound(StoreError):
    """The store answered, and there is no object `key`."""

    actor = Actor.OPERATOR

    def __init__(self, message: str, fix: str = "", key: str = "") -> None:
        super().__init__(message, fix)
        self.args = (message, fix, key)
        self.key = key


class Corrupt(DirectorError):
    """The object `key` is not what was written. Trying again won't help: it is made again, or brought back."""

    boundary = "store"

    def __init__(self, message: str, fix: str = "", key: str = "") -> None:
        super().__init__(message, fix)
        self.args = (message, fix, key)
        self.key = key


class Newer(Corrupt):
    """The object `key` is whole, and this program is too old to read it. Nothing is lost."""


class Damaged(Corrupt):
    """The picture `key` does not show what its hash says."""


class Store(Protocol):
    """Keys are words of letters, digits, `_`, `-` and `.` between slashes; no word starts with a dot."""

    def get(self, key: str) -> bytes:
        """Raises NotFound, and StoreError when the store is out of reach."""
        ...

    def put(self, key: str, data: bytes) -> None:
        """Write the whole object or nothing; an object of that key is replaced."""
        ...

    def exists(self, key: str) -> bool: ...

    def list(self, prefix: str, after: str = "") -> list[str]:
        """The keys that start with `prefix` and sort behind `after`, sorted."""
        ...

    def items(self, prefix: str, after: str = "") -> Iterator[Item]:
        """The objects whose keys start with `prefix`, in any order; what changes meanwhile may be among them."""
        ...

    def delete(self, key: str) -> None:
        """Deleting what is not there is no error."""
        ...


class S3Store:
    """What lies under `s3_prefix` in one bucket of an S3 service; the bucket is made when missing.

    Safe for threads; make one in each process.
    """

    def __init__(self, settings: Settings) -> None:
        self.bucket = settings.s3_bucket
        self._prefix = settings.s3_prefix
        self._region = settings.s3_region
        self._where = settings.s3_endpoint or "AWS S3"
        core = botocore.session.get_session()
        core.register_component("response_parser_factory", _OneParser())
        key, secret = settings.s3_access_key, settings.s3_secret_key.get_secret_value()
        self._s3: S3Client = boto3.Session(botocore_session=core).client(  # pyright: ignore[reportUnknownMemberType]  (stubs know S3 only)
            "s3",
            endpoint_url=settings.s3_endpoint or None,
            aws_access_key_id=key or None,
            aws_secret_access_key=secret or None,
            region_name=settings.s3_region,
            config=_config(settings),
        )
        credentials = Credentials(key, secret) if key and secret else core.get_credentials()
        path_style = settings.s3_addressing == "path" or _is_local(self._s3.meta.endpoint_url)
        self._plain = self._plain_reader(credentials, core) if credentials and path_style else None

    def _plain_reader(self, credentials: Credentials, core: botocore.session.Session) -> PlainReader:
        endpoint = self._s3.meta.endpoint_url
        options: dict[str, Any] = {
            "verify": core.get_config_variable("ca_bundle") or True,
            "proxies": {} if _is_local(endpoint) else get_environ_proxies(endpoint),
            "timeout": (_CONNECT_S, _READ_S),
            "max_pool_connections": _CONNECTIONS,
        }
        return PlainReader(endpoint, self.bucket, self._region, credentials, options)

    def close(self) -> None:
        """Give the connections back."""
        self._s3.close()
        if self._plain:
            self._plain.close()

    def get(self, key: str) -> bytes:
        data = self._plain.get(self._prefix + key) if self._plain and _KEY.fullmatch(key) else None
        if data is not None:
            return data
        return self._ask(key, lambda: self._s3.get_object(Bucket=self.bucket, Key=self._prefix + key)["Body"].read())

    def put(self, key: str, data: bytes) -> None:
        _check(key)
        kind = mimetypes.guess_type(key)[0] or "application/octet-stream"
        place = self._prefix + key
        self._ask(key, lambda: self._s3.put_object(Bucket=self.bucket, Key=place, Body=data, ContentType=kind))

    def exists(self, key: str) -> bool:
        try:
            self._ask(key, lambda: self._s3.head_object(Bucket=self.bucket, Key=self._prefix + key))
        except NotFound:
            return False
        return True

    def list(self, prefix: str, after: str = "") -> list[str]:
        return sorted(item.key for item in self.items(prefix, after))

    def items(self, prefix: str, after: str = "") -> Iterator[Item]:
        token, first = "", True
        while token or first:
            (found, token), first = self._page(prefix, after, token), False
            for item in found:
                key = item.key.removeprefix(self._prefix)
                if key > after:  # a server may not know StartAfter
                    yield item._replace(key=key)

    def _page(self, prefix: str, after: str, token: str) -> Page:
        place, behind = self._prefix + prefix, self._prefix + after if after else ""
        if self._plain and (page := self._plain.page(place, behind, token)):
            return page
        more: Any = {"StartAfter": behind} if behind else {}
        more |= {"ContinuationToken": token} if token else {}
        page = self._ask(prefix, lambda: self._s3.list_objects_v2(Bucket=self.bucket, Prefix=place, **more))
        items: list[Item] = []
        for found in page.get("Contents", []):
            modified = found.get("LastModified")
            items.append(Item(found.get("Key", ""), found.get("Size", 0), modified.timestamp() if modified else 0.0))
        return Page(items, page.get("NextContinuationToken", ""))

    def delete(self, key: str) -> None:
        with suppress(NotFound):
            self._ask(key, lambda: self._s3.delete_object(Bucket=self.bucket, Key=self._prefix + key))

    def _ask(self, key: str, call: Callable[[], T]) -> T:
        try:
            try:
                return call()
            except ClientError as error:
                if _code(error) != "NoSuchBucket":
                    raise
            self._make_bucket()
            return call()
        except ClientError as error:
            if _code(error) in _MISSING:
                raise NotFound(f"there is no {key} in bucket {self.bucket}", key=key) from error
            raise StoreError(f"S3: {key}: {error}"[:500]) from error
        except BotoCoreError as error:
            raise StoreError(f"S3: {key}: {error}"[:500], f"is {self._where} up?") from error

    def _make_bucket(self) -> None:
        # us-east-1 is the one region that must not be named.
        elsewhere = self._region != "us-east-1"
        options: Any = {"CreateBucketConfiguration": {"LocationConstraint": self._region}} if elsewhere else {}
        try:
            self._s3.create_bucket(Bucket=self.bucket, **options)
        except ClientError as error:
            if _code(error) not in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}:
                raise


class _OneParser(ResponseParserFactory):
    """botocore makes a parser for each answer. They keep nothing, but refer to themselves, and so wait for the garbage
    collector's rarest pass: hours, where many libraries are loaded."""

    def __init__(self) -> None:
        super().__init__()
        self._made: dict[str, ResponseParser] = {}

    def create_parser(self, protocol_name: str) -> ResponseParser:
        if protocol_name not in self._made:
            self._made[protocol_name] = super().create_parser(protocol_name)
        return self._made[protocol_name]


class FolderStore:
    """A file for each object. A reader sees the old bytes or the new ones, never half."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._parts = root / ".parts"

    def get(self, key: str) -> bytes:
        with self._reaching(key):
            path = self._path(key)
            if not path.is_file():
                raise NotFound(f"there is no {key} in {self._root}", key=key)
            return path.read_bytes()

    def put(self, key: str, data: bytes) -> None:
        path = self._path(key)
        with self._reaching(key):
            write_whole(path, data, self._parts / secrets.token_hex(16))

    def exists(self, key: str) -> bool:
        with self._reaching(key):
            return self._path(key).is_file()

    def items(self, prefix: str, after: str = "") -> Iterator[Item]:
        for key in self.list(prefix, after):
            with self._reaching(key), suppress(FileNotFoundError):
                found = self._path(key).stat()
                yield Item(key, found.st_size, found.st_mtime)

    def list(self, prefix: str, after: str = "") -> list[str]:
        folder = prefix.rpartition("/")[0]
        if folder and not _KEY.fullmatch(folder):
            return []
        found: list[str] = []
        with self._reaching(prefix):
            for place, folders, names in os.walk(self._root / folder, onerror=_unless_gone):
                folders[:] = [name for name in folders if not name.startswith(".")]
                here = Path(place).relative_to(self._root)
                found += [(here / name).as_posix() for name in names]
        return sorted(key for key in found if key.startswith(prefix) and key > after)

    def delete(self, key: str) -> None:
        with self._reaching(key), suppress(NotADirectoryError):
            self._path(key).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        _check(key)
        return self._root / key

    @contextmanager
    def _reaching(self, key: str) -> Generator[None]:
        try:
            if not self._root.is_dir() and self._root.exists():
                raise NotADirectoryError(errno.ENOTDIR, "not a folder", str(self._root))
            yield
        except FileNotFoundError as error:  # deleted between two looks at it
            raise NotFound(f"there is no {key} in {self._root}", key=key) from error
        except OSError as error:
            raise StoreError(f"{self._root}: {key}: {error.strerror}") from error


def _unless_gone(error: OSError) -> None:
    """A folder that is not there holds no objects; one that can't be read is no empty one."""
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error


def _check(key: str) -> None:
    if len(key) > 500 or not _KEY.fullmatch(key):
        raise ValueError(f"{key[:100]!r} can't be the key of an object")


def _code(error: ClientError) -> str:
    response: Any = error.response
    return str(response.get("Error", {}).get("Code", ""))


def _is_local(endpoint: str) -> bool:
    return (urlsplit(endpoint).hostname or "") in {"127.0.0.1", "::1", "localhost"}


def _config(settings: Settings) -> Config:
    return Config(
        signature_version="s3v4",
        s3={"addressing_style": settings.s3_addressing},
        # Checksum trailers are not understood by every server, and break range reads on some.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        retries={"mode": "standard", "total_max_attempts": 3},
        connect_timeout=_CONNECT_S,
        read_timeout=_READ_S,
        user_agent="visiondirector",  # or it is put together anew for each request
        max_pool_connections=_CONNECTIONS,
        tcp_keepalive=True,
        # An explicit empty mapping: a proxy in the environment must not see loopback traffic.
        proxies={} if _is_local(settings.s3_endpoint) else None,
    )
