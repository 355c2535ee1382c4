"""LGBench (arXiv 2512.19243): long briefs with annotated goals; read, composed and scored."""
