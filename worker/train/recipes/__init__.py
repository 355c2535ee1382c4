"""Recipes for trainers of large models. Their programs run in an environment of that trainer."""
