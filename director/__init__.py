"""The closed loop, pure: standard library and pydantic only. Read `types`, then `loop`."""
