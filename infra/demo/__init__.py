"""`make demo`: briefs through the whole stack, with the lines of each job as it runs."""
