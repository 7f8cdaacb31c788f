"""``python -m benchmarks`` in a checkout; the suite itself is the package ``osong_benchmarks``."""
