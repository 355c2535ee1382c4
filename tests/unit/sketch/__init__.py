"""The embedded studio: what it understands, draws, misses and sees."""
