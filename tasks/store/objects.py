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
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from director.errors import Actor, DirectorError, StoreError
from tasks.files import write_whole
from tasks.settings import Settings

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_s3.type_defs import ListObjectsV2OutputTypeDef

T = TypeVar("T")
_KEY = re.compile(r"(?!.*(?:^|/)\.)[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)*")
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


class Item(NamedTuple):
    """An object in a list. `modified` is the store's own clock, in seconds since the epoch."""

    key: str
    size: int
    modified: float


class Store(Protocol):
    """Keys are words of letters, digits, `_`, `-` and `.` between slashes; no word starts with a dot."""

    def get(self, key: str) -> bytes:
        """Raises NotFound, and StoreError when the store is out of reach."""
        ...

    def put(self, key: str, data: bytes) -> None:
        """Write the whole object or nothing; an object of that key is replaced."""
        ...

    def exists(self, key: str) -> bool: ...

    def list(self, prefix: str) -> list[str]:
        """The keys that start with `prefix`, sorted."""
        ...

    def items(self, prefix: str) -> Iterator[Item]:
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
        self._s3: S3Client = _session().client(  # pyright: ignore[reportUnknownMemberType]  (stubs know S3 only)
            "s3",
            endpoint_url=settings.s3_endpoint or None,
            aws_access_key_id=settings.s3_access_key or None,
            aws_secret_access_key=settings.s3_secret_key.get_secret_value() or None,
            region_name=settings.s3_region,
            config=_config(settings),
        )

    def close(self) -> None:
        """Give the connections back."""
        self._s3.close()

    def get(self, key: str) -> bytes:
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

    def list(self, prefix: str) -> list[str]:
        return sorted(item.key for item in self.items(prefix))

    def items(self, prefix: str) -> Iterator[Item]:
        page = self._page(prefix, "")
        while True:
            for found in page.get("Contents", []):
                modified = found.get("LastModified")
                key = found.get("Key", "").removeprefix(self._prefix)
                yield Item(key, found.get("Size", 0), modified.timestamp() if modified else 0.0)
            if not (token := page.get("NextContinuationToken", "")):
                return
            page = self._page(prefix, token)

    def _page(self, prefix: str, token: str) -> "ListObjectsV2OutputTypeDef":
        more: Any = {"ContinuationToken": token} if token else {}
        return self._ask(
            prefix, lambda: self._s3.list_objects_v2(Bucket=self.bucket, Prefix=self._prefix + prefix, **more)
        )

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

    def items(self, prefix: str) -> Iterator[Item]:
        for key in self.list(prefix):
            with self._reaching(key), suppress(FileNotFoundError):
                found = self._path(key).stat()
                yield Item(key, found.st_size, found.st_mtime)

    def list(self, prefix: str) -> list[str]:
        folder = prefix.rpartition("/")[0]
        if folder and not _KEY.fullmatch(folder):
            return []
        found: list[str] = []
        with self._reaching(prefix):
            for place, folders, names in os.walk(self._root / folder, onerror=_unless_gone):
                folders[:] = [name for name in folders if not name.startswith(".")]
                here = Path(place).relative_to(self._root)
                found += [(here / name).as_posix() for name in names]
        return sorted(key for key in found if key.startswith(prefix))

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


def _session() -> boto3.Session:
    """One that reads dates itself: to have dateutil guess their form is a quarter of what a list costs."""
    core = botocore.session.get_session()
    core.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_timestamp)
    return boto3.Session(botocore_session=core)


def _timestamp(text: str) -> datetime:
    """S3 writes dates as ISO 8601 in a body, and as RFC 5322 in a header."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return parsedate_to_datetime(text)


def _config(settings: Settings) -> Config:
    local = (urlsplit(settings.s3_endpoint).hostname or "") in {"127.0.0.1", "::1", "localhost"}
    return Config(
        signature_version="s3v4",
        s3={"addressing_style": settings.s3_addressing},
        # Checksum trailers are not understood by every server, and break range reads on some.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        retries={"mode": "standard", "total_max_attempts": 3},
        connect_timeout=2,
        read_timeout=20,
        user_agent="visiondirector",  # or it is put together anew for each request
        max_pool_connections=32,
        tcp_keepalive=True,
        # An explicit empty mapping: a proxy in the environment must not see loopback traffic.
        proxies={} if local else None,
    )
