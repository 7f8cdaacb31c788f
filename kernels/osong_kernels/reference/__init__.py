"""The definition of every kernel: NumPy, float64, plain loops, obviously right."""
