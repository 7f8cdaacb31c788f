"""The parts of the suite, one module each: see ``osong_benchmarks.part``."""
