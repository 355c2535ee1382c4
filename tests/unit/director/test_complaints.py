"""Every pattern that a sender can fail has words of its own."""

import json
import re

from api.batch_schemas import BatchFilter, ItemFilter
from api.schemas import JobFilter, Submission
from director.complaints import complaint


def test_no_sender_is_shown_a_pattern():
    schemas = json.dumps([asked.model_json_schema() for asked in (Submission, JobFilter, BatchFilter, ItemFilter)])
    patterns = {json.loads(found) for found in re.findall(r'"pattern": ("(?:[^"\\]|\\.)*")', schemas)}
    assert len(patterns) > 4
    for pattern in patterns:
        said = complaint({"type": "string_pattern_mismatch", "ctx": {"pattern": pattern}, "msg": ""})
        assert said.startswith("must be "), pattern
