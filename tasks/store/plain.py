"""Signed GETs without what botocore does around each request, which takes more CPU than the request.

A rebuild is thousands of small GETs and lists. Whatever does not come as a plain answer is left to boto3, which tries
again and says what is wrong.
"""

from datetime import datetime
from typing import Any, NamedTuple
from xml.etree import ElementTree

import urllib3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError
from botocore.httpsession import URLLib3Session


class Item(NamedTuple):
    """An object in a list. `modified` is the store's own clock, in seconds since the epoch."""

    key: str
    size: int
    modified: float


class Page(NamedTuple):
    """A part of a list; `following` is the token of the next part, "" at the end."""

    items: list[Item]
    following: str


class PlainReader:
    """Reads one bucket. `options` are those of botocore's URLLib3Session. Safe for threads."""

    def __init__(self, endpoint: str, bucket: str, region: str, credentials: Credentials, options: Any) -> None:
        self._url = f"{endpoint.rstrip('/')}/{bucket}"
        self._region = region
        self._credentials = credentials
        self._http = URLLib3Session(**options)

    def close(self) -> None:
        self._http.close()

    def get(self, key: str) -> bytes | None:
        """The object; None when it did not come. `key` needs no quoting in a URL."""
        return self._answer(f"{self._url}/{key}", {})

    def page(self, prefix: str, after: str, token: str) -> Page | None:
        """Objects whose keys start with `prefix`, from behind `after` on; None when the list did not come."""
        asked = {"list-type": "2", "prefix": prefix, "start-after": after, "continuation-token": token}
        answer = self._answer(self._url, {name: value for name, value in asked.items() if value})
        try:
            return None if answer is None else _page(ElementTree.fromstring(answer))
        except (ElementTree.ParseError, ValueError):
            return None

    def _answer(self, url: str, params: dict[str, str]) -> bytes | None:
        request = AWSRequest("GET", url, params=params)
        # A signer of its own: temporary credentials change.
        signer = S3SigV4Auth(self._credentials.get_frozen_credentials(), "s3", self._region)
        try:
            signer.add_auth(request)
            answer = self._http.send(request.prepare())
            return answer.content if answer.status_code == 200 else None
        except (BotoCoreError, urllib3.exceptions.HTTPError):
            return None


def _page(root: ElementTree.Element) -> Page | None:
    """Raises ValueError for sizes and dates that are none."""
    if root.tag.rpartition("}")[2] != "ListBucketResult":
        return None
    items: list[Item] = []
    for found in root.iterfind("{*}Contents"):
        told = {part.tag.rpartition("}")[2]: part.text or "" for part in found}
        modified = datetime.fromisoformat(told["LastModified"]).timestamp() if "LastModified" in told else 0.0
        items.append(Item(told.get("Key", ""), int(told.get("Size", "0")), modified))
    return Page(items, root.findtext("{*}NextContinuationToken") or "")
