"""Benchmarks on the studio of this machine: one module each, listed in `cli`."""
