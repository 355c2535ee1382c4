"""When a batch will have ended, and how many cards it takes. Pure: read world.py, then eta.py and simulate.py."""
