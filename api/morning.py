"""What people look at in the morning, of a whole batch: one archive, and the gallery as a file."""

from itertools import chain, islice
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from fastapi.responses import HTMLResponse, StreamingResponse

from api.archive import MAX_ITEMS, Archiver, folder_of
from api.gallery import Sheet, beside
from api.problems import invalid
from api.routes import ApiState, AppState, Owner
from director.report import policy
from director.report.gallery import script
from tasks.batch.types import Batch, Standing

router = APIRouter(prefix="/v1/batches")
WithReports = Annotated[bool, Query(description="with a report of each item")]


@router.get("/{id}/archive.zip", response_class=Response)
def archive(state: ApiState, owner: Owner, id: str, reports: WithReports = True) -> Response:
    """One ZIP file, made while it is sent: pictures under the names of their items, reports, the results as JSON lines
    and as a table, and a gallery, index.html. Of a batch that has not ended it holds what has."""
    batch, standing = _standing(state, owner, id)
    if batch.total > MAX_ITEMS:
        raise invalid(
            "id", f"the batch has {batch.total:,} items; an archive holds {MAX_ITEMS:,}",
            "`visiondirector batch fetch` saves them one by one",
        )  # fmt: skip
    archiver = Archiver(state.service, state.thumbnails, state.cards, state.image_metadata, reports)
    pieces = archiver.stream(batch, standing, state.batches.results(batch))
    first = list(islice(pieces, 1))  # what goes wrong at once is answered as a problem
    name = folder_of(batch, standing.title).encode("ascii", "replace").decode().replace("?", "_").replace('"', "_")
    headers = {"Content-Disposition": f'attachment; filename="{name}.zip"'}
    return StreamingResponse(chain(first, pieces), media_type="application/zip", headers=headers)


@router.get("/{id}/gallery", response_class=HTMLResponse)
def gallery(
    state: ApiState,
    owner: Owner,
    id: str,
    pictures: Annotated[Literal["png", "jpg", "pdf"], Query(description="the ending of the pictures")] = "png",
    reports: WithReports = False,
) -> Response:
    """The gallery as a file, which belongs beside the pictures: `<item>.png`, `thumbs/<item>.webp` and, with `reports`,
    `reports/<item>.html`. The items that stand worst come first."""
    batch, standing = _standing(state, owner, id)
    sheet = Sheet()
    for card in state.cards.of(state.batches.results(batch), beside(pictures, reports)):
        sheet.add(card)
    headers = {
        "Content-Security-Policy": f"{policy(script())}; frame-ancestors 'none'",
        "Content-Disposition": 'attachment; filename="index.html"',
    }
    return HTMLResponse(sheet.page(batch, standing.title, standing.counts), headers=headers)


def _standing(state: AppState, owner: str | None, id: str) -> tuple[Batch, Standing]:
    batch = state.batches.find(owner, id)
    return batch, state.batches.standing(batch)
