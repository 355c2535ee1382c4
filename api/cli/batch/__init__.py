"""`visiondirector batch`: many briefs as one thing to send, watch, pause and fetch."""
