"""The pages of the API: what they say, whom they tell it, and what a browser may do with them."""

import io
from pathlib import Path

import httpx
import pytest
from justhtml import JustHTML
from PIL import Image

from director.state import State
from director.types import Trajectory
from tests.support.api import ALICE, BOB, House, browse
from tests.support.gallery import png, regatta

HTML = {"Accept": "text/html,application/xhtml+xml"}


def words(node: JustHTML) -> str:
    return " ".join(node.to_text(separator="", strip=False).split())


def read(response: httpx.Response) -> JustHTML:
    assert response.headers["Content-Type"].startswith("text/html")
    return JustHTML(response.text, sanitize=False, strict=True)


def submitted(alice: httpx.Client, house: House, trajectory: Trajectory | None = None) -> str:
    """A job of alice's that has come as far as `trajectory`."""
    id = alice.post("/v1/jobs", json={"brief": "A harbour", "settings": {"width": 512, "height": 640}}).json()["id"]
    if trajectory:
        house.commit(id, *trajectory.events)
    return id


@pytest.fixture
def done(alice: httpx.Client, house: House) -> str:
    return submitted(alice, house, regatta(house.images.put))


def test_a_report_is_a_page_with_its_pictures_inside(alice: httpx.Client, done: str):
    response = alice.get(f"/v1/jobs/{done}/report")
    page = read(response)
    assert response.status_code == 200
    assert all(img.attrs["src"].startswith("data:image/webp;base64,") for img in page.query("img"))
    assert len(page.query(".grid img")) == 24
    full = page.query(".grid a")[0].attrs["href"]
    assert alice.get(full).headers["Content-Type"] == "image/png"
    assert len(response.content) < 1_000_000


def test_a_report_may_load_nothing_and_be_framed_by_nobody(alice: httpx.Client, done: str):
    headers = alice.get(f"/v1/jobs/{done}/report").headers
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "img-src 'self' data:" in policy
    assert policy.endswith("frame-ancestors 'none'")
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "form-action 'self'" in policy
    assert (
        headers["Referrer-Policy"] == "same-origin"
    )  # a browser tells foreign pages nothing, and our forms their origin
    assert headers["Cache-Control"].startswith("private")
    assert "Refresh" not in headers


def test_a_standalone_report_needs_no_server(alice: httpx.Client, house: House, done: str):
    response = alice.get(f"/v1/jobs/{done}/report?standalone=true")
    page = read(response)
    assert response.headers["Content-Disposition"] == f'attachment; filename="{done}.html"'
    assert all(img.attrs["src"].startswith("data:image/") for img in page.query("img"))
    assert all(a.attrs["href"].startswith("#") for a in page.query("a"))
    assert page.query(".lead img")[0].attrs["src"].startswith("data:image/png")
    assert len(response.content) < 3_000_000


def test_a_running_job_has_a_report_that_loads_itself_again_until_told_not_to(alice: httpx.Client, house: House):
    id = submitted(alice, house, regatta(house.images.put, rounds=2, stop=False))
    response = alice.get(f"/v1/jobs/{id}/report")
    assert response.headers["Refresh"] == "10"
    still = read(response).query(".refresh a")[0].attrs["href"]
    quiet = alice.get(still)
    assert "Refresh" not in quiet.headers
    assert read(quiet).query(".refresh a")[0].attrs["href"] == f"/v1/jobs/{id}/report"


def test_a_job_that_has_not_begun_has_a_report(alice: httpx.Client, house: House):
    page = read(alice.get(f"/v1/jobs/{submitted(alice, house)}/report"))
    assert "There is no picture yet" in words(page)


def test_a_report_counts_the_tries(alice: httpx.Client, house: House, done: str):
    house.archive.save_attempt(done, 0, "aa", {"n": 0, "kind": "extract", "seconds": 2.5, "started": 10.0, "host": "x"})
    house.archive.save_attempt(
        done, 1, "bb",
        {"n": 1, "kind": "render", "seconds": 4.0, "started": 20.0, "committed": False,
         "error": {"boundary": "editor", "message": "no memory", "fix": ""}},
    )  # fmt: skip
    said = words(read(alice.get(f"/v1/jobs/{done}/report")))
    assert "6.5 s of work" in said
    assert "1 wasted, 4.0 s" in said
    assert "the editor said no memory" in said


@pytest.mark.parametrize("path", ["report", "images/" + "0" * 64])
def test_another_token_sees_no_job(house: House, done: str, path: str):
    with browse(house.app(), **BOB) as bob:
        assert bob.get(f"/v1/jobs/{done}/{path}").status_code == 404
    with browse(house.app()) as stranger:
        assert stranger.get(f"/v1/jobs/{done}/{path}").status_code == 401


def test_a_browser_reads_errors_as_a_page(house: House, done: str):
    with browse(house.app(), **BOB, **HTML) as bob:
        response = bob.get(f"/v1/jobs/{done}/report")
    assert response.status_code == 404
    assert words(read(response).query("h1")[0]) == "Unknown job"
    assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]


def test_an_error_page_shows_what_was_asked_for_as_text(house: House):
    with browse(house.app(), **ALICE, **HTML) as alice:
        response = alice.get("/v1/jobs/%3Cscript%3Ealert(1)%3C%2Fscript%3E/report".replace("%2F", "%5C"))
    assert response.status_code == 404
    assert not read(response).query("script")


def test_a_picture_of_the_job_comes_whole_or_small(alice: httpx.Client, house: House, done: str):
    image = house.images.put(png("round 1, 1"))
    whole = alice.get(f"/v1/jobs/{done}/images/{image}")
    assert whole.content == png("round 1, 1")
    small = alice.get(f"/v1/jobs/{done}/images/{image}?width=200")
    assert small.headers["Content-Type"] == "image/webp"
    assert Image.open(io.BytesIO(small.content)).size == (256, 320)
    assert small.headers["Cache-Control"].startswith("private")
    assert whole.headers["ETag"] != small.headers["ETag"]


def test_a_picture_that_a_browser_has_is_not_sent_again(alice: httpx.Client, house: House, done: str):
    image = house.images.put(png("round 1, 1"))
    for query in ("", "?width=64"):
        tag = alice.get(f"/v1/jobs/{done}/images/{image}{query}").headers["ETag"]
        again = alice.get(f"/v1/jobs/{done}/images/{image}{query}", headers={"If-None-Match": tag})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["ETag"] == tag


def test_a_picture_is_never_enlarged_and_a_thumbnail_is_of_few_sizes(alice: httpx.Client, house: House, done: str):
    image = house.images.put(png("round 1, 1"))
    sizes = [
        Image.open(io.BytesIO(alice.get(f"/v1/jobs/{done}/images/{image}?width={w}").content)).width
        for w in (1, 65, 1024)
    ]
    assert sizes == [64, 128, 512]


@pytest.mark.parametrize("width", ["0", "-1", "99999", "x", ""])
def test_a_width_out_of_bounds_is_refused(alice: httpx.Client, house: House, done: str, width: str):
    image = house.images.put(png("round 1, 1"))
    assert alice.get(f"/v1/jobs/{done}/images/{image}?width={width}").status_code == 422


def test_a_picture_of_another_job_is_unknown(alice: httpx.Client, house: House, done: str):
    stranger = house.images.put(png("somebody else's"))
    assert alice.get(f"/v1/jobs/{done}/images/{stranger}").status_code == 404


def test_a_picture_that_is_gone_leaves_the_report_readable(alice: httpx.Client, house: House, tmp_path: Path):
    trajectory = regatta(house.images.put, rounds=1)
    id = submitted(alice, house, trajectory)
    for image in State.of(trajectory).pictures:
        next(tmp_path.rglob(f"{image}.png")).unlink()
    with browse(House(tmp_path).app(), **ALICE) as fresh:
        house_again = fresh.get(f"/v1/jobs/{id}/report")
    assert "no longer stored" in words(read(house_again))


def test_the_root_leads_to_the_jobs(alice: httpx.Client):
    response = alice.get("/")
    assert (response.status_code, response.headers["Location"]) == (307, "/jobs")


# --- the list of jobs --------------------------------------------------------------------------


def rows(page: JustHTML) -> list[str]:
    return [words(card) for card in page.query(".jobs .card")]


def test_without_jobs_the_page_says_how_to_submit_one(alice: httpx.Client):
    response = alice.get("/jobs")
    said = words(read(response))
    assert "visiondirector submit brief.txt --watch" in said
    assert "curl http://127.0.0.1:8100/v1/jobs --json" in said
    assert response.headers["Refresh"] == "60"
    assert response.headers["Content-Security-Policy"].endswith("frame-ancestors 'none'")


def test_jobs_are_listed_with_their_standing_and_the_way_to_their_report(alice: httpx.Client, house: House, done: str):
    waiting = submitted(alice, house)
    response = alice.get("/jobs")
    page = read(response)
    first, second = rows(page)
    assert first.startswith("not drawn yet A harbour queued") and waiting[:8] in first
    assert "budget used up" in second
    assert "5 of 7" in second
    links = [a.attrs["href"] for a in page.query(".jobs h2 a")]
    assert links == [f"/v1/jobs/{waiting}/report", f"/v1/jobs/{done}/report"]
    assert response.headers["Refresh"] == "10"
    shots = [img.attrs["src"] for img in page.query(".jobs img")]
    assert shots == [f"/v1/jobs/{done}/images/best?width=512"]
    shot = alice.get(shots[0])
    assert shot.headers["Content-Type"] == "image/webp"
    # Another candidate may be picked: the browser asks, and is told in a few bytes that it has the picture.
    assert shot.headers["Cache-Control"] == "private, no-cache"
    assert alice.get(shots[0], headers={"If-None-Match": shot.headers["ETag"]}).status_code == 304


def test_the_best_picture_of_a_running_job_is_asked_for_again(alice: httpx.Client, house: House):
    id = submitted(alice, house, regatta(house.images.put, rounds=1, stop=False))
    shot = alice.get(f"/v1/jobs/{id}/images/best?width=128")
    assert shot.headers["Cache-Control"] == "private, no-cache"
    same = alice.get(f"/v1/jobs/{id}/images/best?width=128", headers={"If-None-Match": shot.headers["ETag"]})
    assert same.status_code == 304
    assert alice.get(f"/v1/jobs/{submitted(alice, house)}/images/best").status_code == 404


def test_the_list_is_narrowed_by_status_and_label(alice: httpx.Client, house: House, done: str):
    body = {"brief": "A lamp", "labels": ["autumn"]}
    alice.post("/v1/jobs", json=body)
    assert len(rows(read(alice.get("/jobs")))) == 2
    only_done = read(alice.get("/jobs?status=done"))
    assert ["A harbour" in row for row in rows(only_done)] == [True]
    assert [words(a) for a in only_done.query("[aria-current]")] == ["Done"]
    label = next(a for a in read(alice.get("/jobs")).query(".jobs a") if words(a) == "autumn").attrs["href"]
    assert ["A lamp" in row for row in rows(read(alice.get(label)))] == [True]
    assert "There is no such job" in words(read(alice.get("/jobs?status=cancelled")))


def test_the_list_goes_on_on_another_page(alice: httpx.Client, house: House):
    for n in range(53):
        alice.post("/v1/jobs", json={"brief": f"Lamp {n}"})
    page, seen = read(alice.get("/jobs")), []
    seen += rows(page)
    older = page.query(".paging a")[-1]
    assert words(older) == "Older"
    page = read(alice.get(older.attrs["href"]))
    seen += rows(page)
    assert len({row.split(" queued")[0] for row in seen if "Lamp" in row}) == 53
    assert [words(a) for a in page.query(".paging a")] == ["Newest"]


def test_the_list_can_be_kept_from_reloading(alice: httpx.Client, done: str):
    still = alice.get(read(alice.get("/jobs?status=done")).query(".refresh a")[0].attrs["href"])
    assert "Refresh" not in still.headers
    assert [words(a) for a in read(still).query("[aria-current]")] == ["Done"]


def test_each_owner_has_a_list_of_their_own(house: House, done: str):
    with browse(house.app(), **BOB) as bob:
        assert "No jobs yet" in words(read(bob.get("/jobs")))
    with browse(house.app()) as stranger:
        assert stranger.get("/jobs").status_code == 401


def test_a_hostile_title_is_listed_as_text(alice: httpx.Client):
    title = "<script>alert(1)</script>\u202e\x07<img src=x onerror=y>"
    alice.post("/v1/jobs", json={"brief": {"text": "x" * 2000, "title": title}})
    page = read(alice.get("/jobs"))
    assert not page.query("script, [onerror]")
    assert "<script>alert(1)</script>��<img src=x onerror=y>" in rows(page)[0]


@pytest.mark.parametrize("query", ["status=gone", "cursor=x", "label=a%20b", "refresh=maybe"])
def test_a_view_that_there_is_not_is_refused(alice: httpx.Client, query: str):
    assert alice.get(f"/jobs?{query}").status_code == 422


# --- batches --------------------------------------------------------------------------------------


def a_batch(alice: httpx.Client, house: House) -> tuple[str, list[str]]:
    """A batch of three with a hostile title: two in flight, one that waits."""
    header = b'{"batch": {"title": "<b>Night</b>", "labels": ["autumn"], "max_in_flight": 2}}\n'
    id = alice.post("/v1/batches", content=header + 3 * b'{"brief": "A lamp"}\n').json()["id"]
    house.ledger.announce("worker", ["planner", "judge", "verifier", "editor.flux-krea"], 60_000)
    house.dispatcher().admit()
    return id, [item["job"] for item in alice.get(f"/v1/batches/{id}/items?status=running").json()["items"]]


def test_a_batch_stands_in_place_of_its_jobs(alice: httpx.Client, house: House, done: str):
    id, jobs = a_batch(alice, house)
    assert len(jobs) == 2
    page = read(alice.get("/jobs"))
    batch, single = rows(page)
    assert "<b>Night</b> batch open" in batch and "0 of 3 ended: 1 waiting, 2 running" in batch
    assert batch.endswith(f"just now {id[:8]} autumn")
    assert done[:8] in single
    assert not page.query("b")
    assert page.query(".jobs svg")[0].attrs["aria-label"] == "1 waiting, 2 running"
    ways = [a.attrs["href"] for a in page.query(".jobs h2 a")]
    assert ways == [f"/batches/{id}", f"/v1/jobs/{done}/report"]
    in_flight = f"/jobs?batch={id}"
    assert in_flight in [a.attrs["href"] for a in read(alice.get(ways[0])).query("a")]
    its = alice.get(in_flight)
    assert its.headers["Refresh"] == "10"
    first, *children = rows(read(its))
    assert first == batch
    assert [[job[:8] in row for job in jobs] for row in children] == [[True, False], [False, True]]
    assert "Only what is in flight of this batch" in words(read(its))
    with browse(house.app(), **BOB, **HTML) as bob:
        assert bob.get(ways[0]).status_code == 404
        assert bob.get(in_flight).status_code == 404


def test_batches_are_narrowed_as_jobs_are(alice: httpx.Client, house: House, done: str):
    id, _ = a_batch(alice, house)
    assert len(rows(read(alice.get("/jobs?label=autumn")))) == 1
    assert len(rows(read(alice.get("/jobs?label=spring&status=queued&status=running")))) == 0
    assert ["<b>Night</b>" in row for row in rows(read(alice.get("/jobs?status=queued&status=running")))] == [True]
    assert len(rows(read(alice.get("/jobs?status=done")))) == 1
    alice.post(f"/v1/batches/{id}/pause")
    assert "batch paused resume it" in rows(read(alice.get("/jobs")))[0]
