"""Answers of pages: their headers, and errors as a page instead of JSON for a browser."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute

from api.problems import Problem, problem_of
from director.errors import StoreError
from director.report import document, policy
from director.report.html import html

HEADERS = {
    "Cross-Origin-Resource-Policy": "same-origin",
    "Vary": "Authorization, Accept",
}


def page(content: str, status: int = 200, refresh: int = 0, forms: bool = False) -> HTMLResponse:
    """A page that loads only its own pictures, and that no other page may show in a frame. With `forms` it may send
    some to this service."""
    headers = {
        **HEADERS,
        "Content-Security-Policy": f"{policy(forms=forms)}; frame-ancestors 'none'",
        "Cache-Control": "private, no-cache",
        "X-Frame-Options": "DENY",
    }
    if forms:
        headers["Referrer-Policy"] = "same-origin"  # else a browser hides from where the form comes
    if refresh:
        headers["Refresh"] = str(refresh)
    return HTMLResponse(content, status, headers)


class PageRoute(APIRoute):
    """A route that answers an error with a page for a browser, and with a problem document for other clients."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                return await handle(request)
            except (Problem, StoreError) as error:
                return _error_page(request, problem_of(error))

        return handled


def _error_page(request: Request, problem: Problem) -> Response:
    if "text/html" not in request.headers.get("accept", ""):
        return problem.response(request.url.path)
    body = html(
        '<header><p class="kicker"><span>VisionDirector</span></p><h1>$title</h1></header>'
        '<main><p>$detail</p><p><a href="/jobs">All jobs</a></p></main>',
        title=problem.title, detail=problem.detail,
    )  # fmt: skip
    answer = page(document(problem.title, body), problem.status)
    answer.headers.update(problem.headers)
    return answer
