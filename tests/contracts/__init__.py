"""One suite for each contract: the real thing and its twin both pass it."""
