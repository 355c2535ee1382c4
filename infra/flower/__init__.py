"""Flower over the stack's broker."""
