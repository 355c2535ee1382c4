"""What the pages of the desk have in common: the search, the filters, and how numbers and times are said."""

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from urllib.parse import urlencode

from api.batch_schemas import BatchSummary
from api.forecast_schemas import BatchEta
from director.report.html import NOTHING, Html, fill_from, html, join
from director.report.page import moment
from director.transcript import count

MAX_PAGES = 200
MAX_WORDS = 200
Pairs = Sequence[tuple[str, str]]


def address(path: str, pairs: Pairs) -> str:
    """The path with those of the pairs that have a value."""
    query = urlencode([pair for pair in pairs if pair[1]])
    return f"{path}?{query}" if query else path


def folded(text: str) -> str:
    """For comparison: without case, and the same whether an accent was typed as one character or two."""
    return unicodedata.normalize("NFKC", text).casefold()


def fits(words: str, texts: Iterable[str]) -> bool:
    """Each of the words stands in one of the texts."""
    whole = "\n".join(map(folded, texts))
    return all(word in whole for word in folded(words).split())


def chips(names: Iterable[tuple[str, str, bool]]) -> Html:
    """Filters as links: words, address, and whether it is the one that is on."""
    return join(
        html('<li><a href="$to"$on>$words</a></li>', to=to, words=words,
             on=html(' aria-current="page"') if on else NOTHING)
        for words, to, on in names
    )  # fmt: skip


def search(action: str, kept: Pairs, words: str, sorts: Mapping[str, str], sort: str, hint: str) -> Html:
    """`kept` are the other parts of the address; `hint` says what the words are looked for in."""
    hidden = join(
        html('<input type="hidden" name="$name" value="$value">', name=name, value=value)
        for name, value in kept
        if value
    )
    return fill_from(
        "api.pages", "search", action=action, hidden=hidden, words=words, sorts=options(sorts, sort), hint=hint
    )


def options(names: Mapping[str, str], chosen: str) -> Html:
    return join(
        html('<option value="$value"$on>$words</option>', value=value, words=words,
             on=html(" selected") if value == chosen else NOTHING)
        for value, words in names.items()
    )  # fmt: skip


def turns(page: int, pages: int, path: Callable[[int], str]) -> Html:
    """Links to the page before and behind this one."""
    names = (("Previous", page - 1, "prev"), ("Next", page + 1, "next"))
    links = [
        html('<a href="$to" rel="$rel">$words</a>', to=path(number), rel=rel, words=words)
        for words, number, rel in names
        if 1 <= number <= pages
    ]
    if links:
        links.insert(1 if page > 1 else 0, html("<span>$page of $pages</span>", page=page, pages=pages))
    return join(links, " ")


def windows(newest: str, older: str) -> Html:
    """Links to the newest and to what is older than the window that was looked at; no address, no link."""
    links = [html('<a href="$to">Newest</a>', to=newest)] if newest else []
    if older:
        links.append(html('<a href="$to" rel="next">Older</a>', to=older))
    return join(links, " ")


def only_labelled(names: Iterable[str], everything: str) -> Html:
    """The note of a list that shows some labels only."""
    note = 'Only with the label <bdi>$named</bdi>. <a href="$all">All labels</a>'
    return html(note, named=", ".join(names), all=everything)


def figures(parts: Iterable[tuple[str, str]]) -> Html:
    """Numbers with their words, as a row."""
    return join(html("<li><strong>$number</strong> $words</li>", number=number, words=words) for number, words in parts)


def labels(names: Iterable[str], path: Callable[[str], str]) -> Html:
    return join((html('<a href="$to" dir="auto">$name</a>', to=path(name), name=name) for name in names), " ")


def age(seconds: float) -> str:
    """The age in its largest unit."""
    for unit, length in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            return f"{count(int(seconds // length), unit)} ago"
    return "just now"


def ends(batch: BatchSummary, now: float) -> Html:
    """When it will have ended, as `batch show` says it. Nothing where nobody knows, or no item is left."""
    if batch.counts.ended == batch.total:
        return NOTHING
    if not batch.eta:
        why = batch.eta_unknown
        return html('<p class="small ends">Ends: not known, $why</p>', why=why) if why else NOTHING
    first, about, last = times(batch.eta, now)
    late = html(". Late is $late", late=batch.eta.late) if batch.eta.late else NOTHING
    words = '<p class="small ends">Ends about <strong>$about</strong> ($first to $last UTC)$late</p>'
    return html(words, about=about, first=first, last=last, late=late)


def times(eta: BatchEta, now: float) -> tuple[str, str, str]:
    """Its p10, p50 and p90, with the day where that is another one."""
    first, about, last = (moment(each).removesuffix(" UTC") for each in (eta.p10, eta.p50, eta.p90))
    day, today = about.partition(" ")[0], moment(now).partition(" ")[0]
    return first.removeprefix(f"{day} "), about.removeprefix(f"{today} "), last.removeprefix(f"{day} ")
