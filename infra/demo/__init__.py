"""`make demo`: real briefs through the real stack, told as it happens."""
