"""Numba on the CPU: lockstep lanes."""
