"""The lists of jobs and batches as a desk: search, order, numbers, and how far they look."""

from collections.abc import Sequence

import httpx
import pytest
from justhtml import JustHTML

from api.pages import finding
from director.types import Outcome
from tests.support.api import BOB, House, browse, decided, opening, planned, png, rendered, stopped, verified
from tests.support.contexts import plain_png
from tests.support.mornings import drawn

MET, MISSED = Outcome.MET, Outcome.MISSED


def read(client: httpx.Client, path: str) -> JustHTML:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return JustHTML(answer.text, sanitize=False, strict=True)


def said(node: JustHTML) -> str:
    return " ".join(node.to_text(separator=" ", strip=False).split())


def titles(page: JustHTML) -> list[str]:
    return [said(link) for link in page.query(".card h2 a")]


def figures(page: JustHTML) -> list[str]:
    return [said(number) for number in page.query(".figures li")]


def submit(client: httpx.Client, title: str, text: str = "A lamp", labels: Sequence[str] = ()) -> str:
    body = {"brief": {"text": text, "title": title}, "labels": list(labels)}
    return client.post("/v1/jobs", json=body).json()["id"]


def end(house: House, job: str, *outcomes: Outcome) -> None:
    image = house.images.put(png(color="blue"))
    events = (*opening(), planned(), rendered(image), verified(image, *outcomes), decided(image), stopped())
    house.commit(job, *events)


@pytest.fixture
def three(alice: httpx.Client, house: House) -> dict[str, str]:
    """The oldest meets half of its goals, the next one all, and the newest waits."""
    jobs = {"Half": submit(alice, "Half", "Ein weißer Leuchtturm", ["autumn"]), "Whole": submit(alice, "Whole")}
    end(house, jobs["Half"], MET, MISSED)
    end(house, jobs["Whole"], MET, MET)
    return {**jobs, "Waiting": submit(alice, "Wa\u0308rter wartet")}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("words=hal", ["Half"]),
        ("words=WEISSER+leuchtturm", ["Half"]),  # in the brief
        ("words=autumn", ["Half"]),
        ("words=lamp+whole", ["Whole"]),
        ("words=W%C3%A4rter", ["Wa\u0308rter wartet"]),
        ("words=alice&sort=newest", ["Wa\u0308rter wartet", "Whole", "Half"]),
        ("words=nothing", []),
        ("words=whole&status=queued", []),
        ("sort=worst", ["Half", "Whole", "Wa\u0308rter wartet"]),
        ("sort=best", ["Whole", "Half", "Wa\u0308rter wartet"]),
        ("sort=worst&status=done", ["Half", "Whole"]),
        ("sort=best&page=2", []),
    ],
)
def test_jobs_are_searched_and_sorted(alice: httpx.Client, three: dict[str, str], query: str, found: list[str]) -> None:
    assert titles(read(alice, f"/jobs?{query}")) == found


def test_an_id_finds_its_job(alice: httpx.Client, three: dict[str, str]) -> None:
    assert titles(read(alice, f"/jobs?words={three['Whole'][:13]}")) == ["Whole"]


def test_a_search_keeps_what_narrows_the_list(alice: httpx.Client, three: dict[str, str]) -> None:
    page = read(alice, "/jobs?status=done&label=autumn&words=half&sort=worst")
    assert titles(page) == ["Half"]
    sent = {field.attrs["name"]: field.attrs["value"] for field in page.query("form.filters input")}
    assert sent == {"status": "done", "label": "autumn", "words": "half"}
    assert [option.attrs["value"] for option in page.query("option[selected]")] == ["worst"]
    cancelled = next(a for a in page.query("nav a") if said(a) == "Cancelled").attrs["href"]
    assert cancelled == "/jobs?status=cancelled&label=autumn&words=half&sort=worst"


def test_jobs_are_counted(alice: httpx.Client, house: House, three: dict[str, str]) -> None:
    assert house.ledger.index() == "0"
    assert figures(read(alice, "/jobs")) == ["1 at work", "2 done"]
    with browse(house.app(), **BOB) as bob:
        assert figures(read(bob, "/jobs")) == []


def test_a_search_looks_at_a_window_and_says_so(alice: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "WINDOW", 4)
    for n in range(7):
        submit(alice, f"Lamp {n}")
    page = read(alice, "/jobs?words=lamp")
    assert titles(page) == ["Lamp 6", "Lamp 5", "Lamp 4", "Lamp 3"]
    assert "4 of the newest 4 jobs" in said(page.query(".note")[0])
    [older] = [a for a in page.query(".paging a") if said(a) == "Older"]
    page = read(alice, older.attrs["href"])
    assert titles(page) == ["Lamp 2", "Lamp 1", "Lamp 0"]
    assert "3 of 3 older jobs" in said(page.query(".note")[0])


def test_pages_of_a_window(alice: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.pages.finding.PAGE", 2)
    monkeypatch.setattr("api.pages.listing.PAGE", 2)
    for n in range(5):
        submit(alice, f"Lamp {n}")
    page = read(alice, "/jobs?words=lamp&page=2")
    assert titles(page) == ["Lamp 2", "Lamp 1"]
    assert {said(a): a.attrs["href"] for a in page.query(".paging a")} == {
        "Previous": "/jobs?words=lamp", "Next": "/jobs?words=lamp&page=3",
    }  # fmt: skip


def test_a_search_finds_items_of_batches_at_work(alice: httpx.Client, house: House) -> None:
    alice.post("/v1/batches", content=b'{"custom_id": "menu-7", "brief": "A lamp"}\n{"brief": "A chair"}\n')
    house.ledger.announce("worker", ["editor.flux-krea"], 60_000)
    house.dispatcher().admit()
    page = read(alice, "/jobs?words=menu-7")
    assert titles(page) == ["menu-7"]
    assert [said(a) for a in page.query(".about a")] == ["menu-7"]


@pytest.fixture
def nights(alice: httpx.Client, house: House) -> dict[str, str]:
    """The oldest ended with one of two items done, the next with its one; the newest waits."""
    ids = {
        "Half": drawn(house, alice, "good", "short", title="Half").batch,
        "Whole": drawn(house, alice, "one", title="Whole").batch,
    }
    header = b'{"batch": {"title": "Waiting", "labels": ["autumn"]}}\n'
    ids["Waiting"] = alice.post("/v1/batches", content=header + b'{"brief": "A lamp"}\n').json()["id"]
    return ids


def test_batches_are_searched_sorted_and_counted(alice: httpx.Client, nights: dict[str, str]) -> None:
    expected = {
        "": ["Waiting", "Whole", "Half"],
        "sort=worst": ["Half", "Whole", "Waiting"],
        "sort=best": ["Whole", "Half", "Waiting"],
        "words=hal": ["Half"],
        f"words={nights['Whole'][:8]}": ["Whole"],
        "label=autumn": ["Waiting"],
        "status=ended&status=open": ["Waiting", "Whole", "Half"],
        "status=paused": [],
        "sort=soonest": ["Waiting", "Whole", "Half"],
        "page=2": [],
    }
    assert {query: titles(read(alice, f"/batches?{query}")) for query in expected} == expected
    numbers = ["3 batches", "3 of 4 items ended", "2 with every goal met", "0 at work"]
    assert figures(read(alice, "/batches")) == numbers
    assert figures(read(alice, "/batches?words=half"))[:2] == ["1 batch", "2 of 2 items ended"]


def test_the_pictures_of_a_batch(alice: httpx.Client, house: House, nights: dict[str, str]) -> None:
    waiting, whole, half = read(alice, "/batches").query(".card")
    assert not waiting.query("img")
    [cover] = whole.query("img")
    answer = alice.get(cover.attrs["src"])
    assert answer.headers["Content-Type"] == "image/webp"
    again = alice.get(cover.attrs["src"], headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert alice.get(f"/batches/{nights['Waiting']}/cover/0").status_code == 404
    assert alice.get(f"/batches/{nights['Whole']}/cover/4").status_code == 422
    with browse(house.app(), **BOB) as bob:
        assert bob.get(cover.attrs["src"]).status_code == 404
    assert len(half.query("img")) == 1


def test_many_items_make_a_contact_sheet(alice: httpx.Client, house: House) -> None:
    drawn(house, alice, *(f"item {n}" for n in range(4)), rounds=1)
    [tile] = read(alice, "/batches").query(".card")
    sheet = [img.attrs["src"] for img in tile.query(".sheet img")]
    assert len(sheet) == 4 and all(alice.get(src).status_code == 200 for src in sheet)


@pytest.mark.parametrize(
    "path", ["/jobs?sort=soonest", "/jobs?page=0", "/batches?sort=x", "/batches?status=x", f"/jobs?words={'x' * 201}"]
)
def test_a_view_that_there_is_not_is_refused(alice: httpx.Client, path: str) -> None:
    assert alice.get(path).status_code == 422


def test_a_contact_sheet_is_of_all_parts_of_the_results_and_shows_no_picture_twice(
    alice: httpx.Client, house: House
) -> None:
    batch = drawn(house, alice, "a", "b").batch
    shelf = house.shelf
    [first, *_] = shelf.results(batch)
    others = [house.images.put(plain_png(colour, 64, 64)) for colour in ("red", "green", "blue")]
    for n, image in enumerate(others):
        shelf.put_results(batch, f"{n}", [first.model_copy(update={"image": image, "ended": first.ended + n + 1})])
    tags = [alice.get(f"/batches/{batch}/cover/{n}").headers["ETag"] for n in range(4)]
    assert [tag.strip('"').partition("-")[0] for tag in tags] == [first.image, *others]
