"""Osong screens molecules against proteins."""
