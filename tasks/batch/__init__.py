"""Batches: many briefs as one object. Read `types.py`, then `dispatch.py`."""
