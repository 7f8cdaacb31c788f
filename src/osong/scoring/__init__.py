"""Scoring functions, grid maps, and the exact score of a pose with its breakdown."""
