"""Arrays in, arrays out: the compute kernels of Osong."""
