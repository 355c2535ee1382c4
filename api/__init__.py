"""The HTTP API, its client and the command line."""
