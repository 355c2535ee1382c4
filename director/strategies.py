"""Named sets of settings, and how settings are called by those who write them."""

from pydantic import BaseModel

from director.types import MAX_GOALS

_PLAIN: dict[str, object] = {
    "gate": "one-shot", "rounds": 1, "candidates": 1, "adaptive": False, "judge": False, "guard": False,
    "reprompt": False, "accept": "alignment", "anchor_after": 0,
}  # fmt: skip
STRATEGIES: dict[str, dict[str, object]] = {
    "one-shot": _PLAIN,
    "reprompt": {**_PLAIN, "reprompt": True},
    "best-of-4": {**_PLAIN, "candidates": 4, "judge": True},
    "refinement": {**_PLAIN, "rounds": 6},
    "all": {**_PLAIN, "gate": "auto", "rounds": 6, "candidates": 4, "judge": True, "reprompt": True},
    "wide": {
        "gate": "one-shot",  # what a scene leaves to edits grows with `batch`: here it would be all that is local
        "edits": "alike",
        "batch": MAX_GOALS,
        "edit_candidates": 1,
        "enough": 0.9,
        "patience": 5,
        "targets_first": True,
    },
    "paper": {},
    "ours": {},
}
"""The arms of the paper's ablation (arXiv 2512.19243) as settings, and loops that go past it.

`wide` spends less than half, `paper` edits one or two goals at a time, and `ours` is what a job gets that names none.
"""


def public_names(model: type[BaseModel]) -> list[str]:
    """The names of its fields as people write them."""
    return [field.alias or name for name, field in model.model_fields.items()]
