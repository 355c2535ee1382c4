"""Standard Webhooks 1.0: who gets a notice can check that it came from here and was not changed.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable

from tasks.notices.types import SECRET_BYTES, Notice

_PREFIX = "whsec_"


def new_key() -> str:
    return _PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def headers(notice: Notice, keys: Iterable[str], now: int) -> dict[str, str]:
    """What goes with the notice's body when it is sent at `now`, in seconds since the epoch. Each key signs."""
    content = f"{notice.id}.{now}.{notice.body}".encode()
    signed = (hmac.digest(base64.b64decode(key.removeprefix(_PREFIX)), content, hashlib.sha256) for key in keys)
    return {
        "webhook-id": notice.id,
        "webhook-timestamp": str(now),
        "webhook-signature": " ".join(f"v1,{base64.b64encode(one).decode()}" for one in signed),
    }
