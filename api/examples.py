"""The examples of the OpenAPI document: one job at three moments, and a problem for each status."""

import json
from typing import Any

from api.batch_service import LINKS as BATCH_LINKS
from api.service import LINKS

JOB = "4f2c1d0a-7b7e-5b3c-9a51-0c6d1f2e3a4b"
NONCE = "9f86d081884c7d659a2feaa0c55ad015"
IMAGE = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
TEXT = "Hello, we sell boats. A lighthouse at dusk. The sign says 'HARBOUR'."

SUBMISSION: dict[str, Any] = {
    "brief": {"text": TEXT, "title": "Harbour poster"},
    "settings": {"rounds": 6, "candidates": 4},
    "priority": 3,
    "labels": ["night", "posters"],
}

_COST: dict[str, Any] = {
    "seconds": 71.25, "gpu_seconds": 48.5, "renders": 10, "denoising_steps": 280, "vlm_calls": 21,
    "prompt_tokens": 30250, "completion_tokens": 1410, "attempts": 16, "wasted_attempts": 1,
}  # fmt: skip

SUMMARY: dict[str, Any] = {
    "id": JOB, "owner": "alice", "title": "Harbour poster", "status": "done", "stop": "satisfied", "step": 15,
    "doing": "", "labels": ["night", "posters"], "priority": 3, "paused": False, "batch": None,
    "goals": {"met": 2, "missed": 0, "unsure": 0, "total": 2}, "coverage": 1.0, "rounds": 3, "renders": 10,
    "cost": _COST, "error": None, "created": 1795455600.25, "ended": 1795455690.5,
    "links": {
        "self": f"/v1/jobs/{JOB}",
        **{name: f"/v1/jobs/{JOB}/{name}" for name in LINKS},
    },
}  # fmt: skip

_SETTINGS: dict[str, Any] = {
    "gate": "auto", "editor": "flux-krea", "draft_rounds": False, "candidates": 4, "adaptive": True, "enough": 0.75,
    "judge": True,
    "rollback": True, "reprompt": True, "masks": True, "anchor_after": 4, "accept": "alignment", "margin": 0.1,
    "max_changed": 1.0, "stop_at": 1.0, "patience": 3, "batch": 2, "rounds": 6, "max_renders": None,
    "max_seconds": None, "width": None, "height": None,
}  # fmt: skip

ENVELOPE: dict[str, Any] = {
    **SUMMARY,
    "brief": {"text": TEXT, "title": "Harbour poster", "source": None},
    "settings": _SETTINGS,
    "seed": 8466314625714852,
    "eta": None,
    "eta_unknown": "",
    "unread": [{"text": "Hello", "reason": "greeting"}, {"text": "we sell boats", "reason": "became no goal"}],
    "warnings": [],
}

PICKED = {
    **ENVELOPE,
    "picked": {
        "round": 2, "candidate": 3, "image": IMAGE, "goals": {"met": 0, "missed": 0, "unsure": 0, "total": 2},
        "at": 1795455900.5,
    },
}  # fmt: skip

_FRESH: dict[str, Any] = {
    "stop": "", "step": 0, "status": "queued", "doing": "reading the brief: waiting for planner", "coverage": None,
    "goals": {"met": 0, "missed": 0, "unsure": 0, "total": 0}, "rounds": 0, "renders": 0,
    "cost": dict.fromkeys(_COST, 0), "ended": None,
}  # fmt: skip
_UNSERVED = {
    "kind": "editor-not-served", "message": "no worker serves the editor flux-krea now; there are qwen-image",
    "fix": "the job waits until one does; cancel it to send another",
}  # fmt: skip
SUBMITTED = {**ENVELOPE, **_FRESH, "unread": ENVELOPE["unread"][:1], "warnings": [_UNSERVED]}
CANCELLING = {**SUBMITTED, "step": 4, "status": "running", "doing": "cancelling"}
PAUSED = {
    **SUBMITTED, "step": 4, "status": "running", "paused": True, "doing": "paused: resume it to go on",
}  # fmt: skip
JOBS = {"jobs": [SUMMARY], "next": f"1795455600250-{JOB}"}

BATCH_ID = "0d9b6f0e-3c55-5a8e-8f0e-7a1b2c3d4e5f"
MANIFEST = """\
{"batch": {"title": "Harbours", "labels": ["night"], "settings": {"rounds": 4}, "matrix": {"seed": [1, 2]}}}
{"custom_id": "dusk", "brief": "A lighthouse at dusk. The sign says 'HARBOUR'."}
{"custom_id": "dawn", "brief": {"text": "A harbour at dawn, with two boats."}, "settings": {"width": 768}}
"""
_TERMS: dict[str, Any] = {
    "windows": ["mon,tue,wed,thu,fri 22:00-07:00 Europe/Zurich"], "at_close": "hold", "deadline": 1795500000.0,
    "late": False, "by": True, "price": 0.21, "spread": False,
    "budget": {
        "renders": 400, "gpu_seconds": None, "money": None, "currency": "", "spent_renders": 40,
        "spent_gpu_seconds": 119.04, "spent_money": 0.0, "share": 0.1,
    },
}  # fmt: skip
_BATCH_SUMMARY: dict[str, Any] = {
    "id": BATCH_ID, "owner": "alice", "title": "Harbours", "labels": ["night"], "priority": 9, "status": "open",
    "counts": {"waiting": 0, "running": 1, "done": 2, "unmet": 1, "failed": 0, "cancelled": 0}, "total": 4,
    "waits": "", "eta": {
        "p10": 1795456010.5, "p50": 1795456042.0, "p90": 1795456120.75, "limits": "editors of flux-krea",
        "knows_little_of": ["3 render steps of flux-krea at 512x512x4 measured; 20 needed"],
        "money": 0.31, "currency": "eur", "late": "",
    }, "eta_unknown": "", "max_in_flight": None, "terms": _TERMS, "cost": _COST,
    "created": 1795455600.25, "ended": None,
    "links": {
        "self": f"/v1/batches/{BATCH_ID}",
        **{name: f"/v1/batches/{BATCH_ID}/{name}" for name in BATCH_LINKS},
    },
}  # fmt: skip
_DRAWING: dict[str, Any] = {
    "custom_id": "dawn@seed=2", "job": JOB, "doing": "rendering",
    "goals": {"met": 1, "missed": 1, "unsure": 0, "total": 2},
}  # fmt: skip
BATCH: dict[str, Any] = {**_BATCH_SUMMARY, "drawing": [_DRAWING], "warnings": [], "looked_at": 0}
NEW_BATCH: dict[str, Any] = {
    **BATCH, "counts": {**dict.fromkeys(BATCH["counts"], 0), "waiting": 4}, "cost": dict.fromkeys(_COST, 0),
    "waits": "waiting: no worker serves editor.flux-krea", "drawing": [], "looked_at": 2,
    "warnings": [
        {
            "kind": "no-source", "count": 1, "lines": [2],
            "message": "“Remove the car” changes a picture, but no picture was sent: everything is drawn new",
            "fix": "send the picture with the brief (--source IMG, or brief.source)",
        }
    ],
}  # fmt: skip
BATCHES = {"batches": [_BATCH_SUMMARY], "next": f"1795455600250-{BATCH_ID}"}
ITEMS = {
    "items": [
        {"custom_id": "dawn@seed=2", "index": 3, "status": "running", "job": JOB, "take": 0},
        {"custom_id": "dusk@seed=1", "index": 0, "status": "waiting", "job": None, "take": 0},
    ],
    "next": "4",
}
RESULTS = json.dumps(
    {
        "custom_id": "dusk@seed=1", "index": 0, "take": 0, "generation": 0, "status": "done", "job": JOB,
        "title": "dusk · seed=1", "stop": "satisfied", "met": 2, "total": 2, "coverage": 1.0, "rounds": 3,
        "renders": 10, "image": IMAGE, "error": "", "cost": _COST, "created": 1795455600.25, "ended": 1795455690.5,
    }
) + "\n"  # fmt: skip
PLAN: dict[str, Any] = {
    "briefs": 1000, "goals": 18, "by": 1795500000.0, "editor": "flux-krea", "cards": 5, "least": 4, "safe": 5,
    "around": [
        {"cards": 4, "chance": 0.68, "p50": 1795499000.0, "p90": 1795501900.0, "limits": "editors of flux-krea"},
        {"cards": 5, "chance": 1.0, "p50": 1795492000.0, "p90": 1795494300.0, "limits": "editors of flux-krea"},
        {"cards": 6, "chance": 1.0, "p50": 1795487100.0, "p90": 1795489000.0, "limits": "editors of flux-krea"},
    ],
    "limits": "editors of flux-krea", "gpu_hours": 29.6, "card_hours": 30.6, "renders": 6646,
    "disk_bytes": 2_900_000_000, "measured": True, "knows_little_of": [],
    "card_price": 2.5, "money": 74.0, "currency": "eur",
}  # fmt: skip
RECEIVED = {"bytes": 4182311, "lines": 5000, "sha256": IMAGE, "batch": None}
CANCELLING_ITEMS = {"items": ["dusk@seed=1", "dawn@seed=1"]}
RETRYING = {"what": ["unmet"], "items": ["dawn@seed=2"], "rounds": 3}
PATCHING = {"priority": 3, "front": True, "max_in_flight": 8, "budget": {"renders": 800}}

ATTEMPTS: dict[str, Any] = {
    "attempts": [
        {
            "n": 2, "nonce": NONCE, "kind": "render", "attempt": 1, "host": "gpu-3", "started": 1795455610.5,
            "seconds": 12.31, "renders": 4, "committed": True, "progress": "denoising 28/28",
            "counts": {"denoising_steps": 112, "gpu_ms": 11904}, "blobs": {}, "error": None,
            "hole": [], "rewound": None,
        }
    ],
    "unreadable": [],
    "cost": _COST,
}  # fmt: skip

TRAJECTORY: dict[str, Any] = {
    "brief": {"text": TEXT, "title": "Harbour poster", "source": None, "goals": []},
    "settings": _SETTINGS,
    "seed": 8466314625714852,
    "events": [
        {"kind": "gated", "mode": "staged", "why": "2 goals"},
        {"kind": "stopped", "reason": "satisfied", "why": "all 2 goals are met"},
    ],
}

UPLOADED = {"image": IMAGE, "width": 1024, "height": 768}
MACHINES: dict[str, Any] = {
    "workers": {"editor-0@gpu-3": ["editor.flux-krea"], "thinker@gpu-3": ["judge", "planner", "verifier"]},
    "held": [
        {
            "queue": "planner", "actor": "outage", "why": "http://gpu-3:30000/v1 (qwen3-vl): Connection refused",
            "fix": "start the server, or wait until it answers", "resource": "http://gpu-3:30000/v1 (qwen3-vl)",
            "since": 1795455610.5, "next_try": 1795455671.0, "tries": 7, "waiting": 12,
        }
    ],
    "sick": [
        {
            "worker": "editor-0@gpu-3", "why": "RuntimeError: CUDA error: unspecified launch failure", "failures": 3,
            "quarantined": 1795455610.5, "next_canary": 1795455910.5, "by_hand": False,
        }
    ],
}  # fmt: skip

ME: dict[str, Any] = {
    "owner": "alice", "scopes": ["read", "write"], "max_in_flight": 1000,
    "windows": ["22:00-07:00 Europe/Zurich"], "at_close": "hold", "open": True, "changes": 1795500000.0,
    "budget": {
        "renders": 4000, "gpu_seconds": None, "money": 50.0, "currency": "eur", "spent_renders": 1200,
        "spent_gpu_seconds": 14406.5, "spent_money": 10.04, "share": 0.3, "per": "month", "zone": "Europe/Zurich",
        "until": 1796079600.0, "left_renders": 2800, "left_gpu_seconds": None, "left_money": 39.96, "state": "open",
    },
}  # fmt: skip
HOOK_SENT = {"url": "https://example.org/night", "events": ["batch.ended", "batch.late"]}
_HOOK: dict[str, Any] = {
    "id": "4f2c1d0a7b7e5b3c", **HOOK_SENT, "created": 1795455600.25, "off": "", "waiting": 0, "next_try": None,
    "dead": 0, "error": "", "failed": None, "secret": None,
}  # fmt: skip
_DOWN = {"waiting": 2, "next_try": 1795457420.5, "error": "answered 503", "failed": 1795455605.5}
NEW_HOOK = {**_HOOK, "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
HOOKS = {"hooks": [{**_HOOK, **_DOWN}]}
TRIED = {"ok": False, "status": 404, "error": "answered 404"}

READY = {"status": "ok", "ledger": "ok", "storage": "ok", "broker": "ok"}
NOT_READY = {**READY, "status": "not ready", "broker": "does not answer"}

EVENTS = (
    "retry: 1000\n\n"
    f'event: gated\ndata: {{"kind":"gated","mode":"staged","why":"2 goals"}}\nid: 0.{NONCE}.1\n\n'
    'event: progress\ndata: {"doing":"rendering"}\n\n'
)


def _problem(status: int, slug: str, title: str, detail: str, *errors: dict[str, str]) -> dict[str, Any]:
    return {
        "type": f"urn:visiondirector:problem:{slug}", "title": title, "status": status, "detail": detail,
        "instance": "/v1/jobs", "errors": list(errors),
    }  # fmt: skip


_FIELD = {"field": "settings.candidats", "message": "there is no such field", "fix": "did you mean candidates?"}
_KEY = {"field": "Idempotency-Key", "message": "was used with another body", "fix": "send a new key"}
_BODY = {"field": "body", "message": "is not valid JSON: EOF while parsing a value", "fix": "send one JSON object"}
_SIZE = {"field": "image", "message": "must have at most 20000000 bytes", "fix": "send less"}

PROBLEMS: dict[int, dict[str, Any]] = {
    400: _problem(400, "unreadable", "The request can't be read", f"body: {_BODY['message']}", _BODY),
    401: _problem(401, "unauthorized", "The token is unknown", "Send the header Authorization: Bearer TOKEN."),
    403: _problem(403, "scope", "This token may not do that", "It needs the scope write."),
    404: _problem(404, "unknown-job", "Unknown job", f"There is no job '{JOB}'."),
    408: _problem(
        408, "timeout", "No more lines came", "What came is kept: go on with the same Idempotency-Key."
    ),
    409: _problem(409, "key-reused", "This Idempotency-Key stands for another request", "", _KEY),
    410: _problem(
        410, "lost", "Something that was stored is lost",
        f"images/{IMAGE}.png is not stored any more. A job that still runs makes it again, if it can.",
    ),
    413: _problem(413, "too-large", "Too large", f"image: {_SIZE['message']}", _SIZE),
    422: _problem(422, "invalid", "The request can't be used", "settings.candidats: there is no such field", _FIELD),
    429: _problem(
        429, "too-many-jobs", "Too many jobs in flight",
        "1000 of your jobs are waiting or running: send this again when one of them has ended.",
    ),
    503: _problem(
        503, "unavailable", "Storage or the ledger is out of reach",
        "Nothing is lost: send the same request again in a moment.",
    ),
}  # fmt: skip
