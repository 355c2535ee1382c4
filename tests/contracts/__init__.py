"""One suite for each contract: it passes in process and on real servers."""
