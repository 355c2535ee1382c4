"""Forms of the pages: who sends one, and that it was one of our own pages.

A browser sends the password of Basic authentication by itself, also from a foreign page. So each form carries a token
that only a page for the same caller can hold: a MAC under the caller's own bearer token.
"""

import hmac
import secrets
from hashlib import sha256
from typing import Annotated
from urllib.parse import parse_qs, urlsplit

from fastapi import Depends, Request

from api.auth import Caller, basic_or_bearer
from api.problems import Problem
from api.routes import ApiState, read_body
from tasks.tokens import Scope

TOKEN = "form"  # the name of the field
_MAX_BYTES = 20_000
_LOCAL = secrets.token_bytes(32)  # of a service without tokens, which answers this machine only
_ABOUT = b"visiondirector form 1"


def form_token(request: Request) -> str:
    """What a form of a page for this caller carries."""
    given = basic_or_bearer(request.headers.get("authorization", ""))
    return hmac.new(given.encode() if given else _LOCAL, _ABOUT, sha256).hexdigest()


async def _sent(request: Request, state: ApiState) -> "Form":
    body = await read_body(request, _MAX_BYTES, "form")
    fields = {name: values[-1] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
    caller = state.authenticator.form_caller(request)
    caller.check(Scope.WRITE, Scope.OPERATE)
    origin = request.headers.get("origin")
    foreign = origin is not None and urlsplit(origin).netloc != request.headers.get("host", "")
    if foreign or not hmac.compare_digest(fields.get(TOKEN, "").encode(), form_token(request).encode()):
        raise Problem(
            403, "form", "This form is too old, or of another page", "Go back, load the page again, and retry."
        )
    return Form(caller, fields)


class Form:
    """What somebody sent from a page of ours."""

    def __init__(self, caller: Caller, fields: dict[str, str]) -> None:
        self.caller, self.fields = caller, fields


SentForm = Annotated[Form, Depends(_sent)]
