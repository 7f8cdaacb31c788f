"""Scalar formulae, written once for every target."""
