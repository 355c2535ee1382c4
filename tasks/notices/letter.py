"""A notice as an e-mail: what happened in the subject, the counts below, and how to look closer."""

import json
from datetime import datetime, timedelta
from email import policy
from email.headerregistry import Address
from email.message import EmailMessage
from urllib.parse import quote, unquote

import httpx

from tasks.notices.mail import parse_address, parse_sender
from tasks.notices.types import Event, Hook, Notice

MAIL = "mailto:"
MAX_NAME = 80
"""Characters of a title in the subject."""
# Not every server takes more than 7 bits, and smtplib does not ask.
_POLICY = policy.default.clone(cte_type="7bit")
_COUNTS = ("done", "unmet", "failed", "cancelled", "running", "waiting")
_FIRST = ("title", "id", "custom_id", "batch", "status", "stop", "total", *_COUNTS)
_OLD = timedelta(days=1)
_CODE = ("=?", "= ?")  # begins an encoded word, which could stand for a line break: CVE-2024-6923
_JOINERS = "\u200c\u200d"  # of emoji, and of scripts that need them; they break no line
_SAYS = {
    Event.STARTED: "has started", Event.HALF: "is half done", Event.ENDED: "has ended", Event.LATE: "is late",
    Event.BUDGET: "has spent 90 % of its budget", Event.HELD: "is held: its budget is spent",
    Event.JOB_ENDED: "has ended", Event.TEST: "can send you mail: this is a test",
}  # fmt: skip


def letter(notice: Notice, hook: Hook, sender: str, pages: str, now: datetime) -> EmailMessage:
    """For a hook of `mailto:`. `pages` is the address of the service's pages, or "" for no link.

    Its id is the same each time. Its date is that of what happened, so that mails that come late stand in order; but if
    that is more than a day ago it is `now`: it would be filed among old mail, or taken for spam. Raises ValueError for
    addresses that are none.
    """
    message, source = EmailMessage(_POLICY), _in_ascii(parse_sender(sender))
    message["From"], message["To"], message["Subject"] = source, recipient(hook.url), _subject(notice)
    happened = datetime.fromisoformat(notice.timestamp)
    message["Date"] = happened if now - happened < _OLD else now
    message["Message-ID"] = f"<{notice.id}.{hook.id}@{source.domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(_text(notice, pages))
    return message


def recipient(url: str) -> Address:
    """Of `mailto:name@example.org`. Raises ValueError."""
    return _in_ascii(parse_address(unquote(url.removeprefix(MAIL))))


def _in_ascii(address: Address) -> Address:
    """Its domain: a server need not know then that there are other letters. Raises ValueError for one that can't be."""
    if address.domain.isascii():
        return address
    try:
        domain = httpx.URL(scheme="https", host=address.domain).raw_host.decode("ascii")
    except httpx.InvalidURL as wrong:
        raise ValueError("is no e-mail address") from wrong
    return Address(address.display_name, address.username, domain)


def _subject(notice: Notice) -> str:
    told = notice.told
    name = _line(str(told.get("title") or told.get("id") or "")).replace(*_CODE)
    name = name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 1].rstrip()}…"
    says = f"{name} {_SAYS[notice.type]}".strip()
    if notice.type == Event.ENDED:
        says += f": {', '.join(f'{told[count]} {count}' for count in _COUNTS if told.get(count))}"
    if notice.type == Event.JOB_ENDED:
        says += f": {_line(str(told.get('status', '')))}"
    return says.removesuffix(": ")


def _text(notice: Notice, pages: str) -> str:
    told = notice.told
    names = [*(name for name in _FIRST if name in told), *sorted(told.keys() - set(_FIRST))]
    facts = [f"{name}: {_plain(told[name])}" for name in names if told[name] not in ("", None, 0)]
    return "\n\n".join(
        [
            _subject(notice),
            "\n".join([*facts, f"time: {datetime.fromisoformat(notice.timestamp):%Y-%m-%d %H:%M:%S} UTC"]),
            "\n".join(_closer(notice, pages)),
            f"Notice {notice.id}\n",
        ]
    )


def _closer(notice: Notice, pages: str) -> list[str]:
    """How to look closer."""
    id = str(notice.told.get("id", ""))
    if notice.type == Event.TEST:
        return ["visiondirector hook list"]
    command, page = ("show", "jobs") if notice.type == Event.JOB_ENDED else ("batch show", "batches")
    link = [f"{pages}/{page}/{quote(id, safe='')}"] if pages else []
    return [*link, f"visiondirector {command} {id}"]


def _plain(value: object) -> str:
    return _line(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _line(text: str) -> str:
    """One line, whatever it holds."""
    return "".join(char if char.isprintable() or char in _JOINERS else " " for char in text)
