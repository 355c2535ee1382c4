"""The prepared run on a lent GPU machine: docs/gpu.md. `python -m tests.perf.gpu --toy` walks it on a CPU."""
