"""Flower on the broker of the stack."""
