"""Benchmarks: cases and scoring. Start at `cases`; nothing here runs a loop or looks at a picture."""
