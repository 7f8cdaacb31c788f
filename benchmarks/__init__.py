"""What is measured, against whom, and on which machine: ``python -m benchmarks --help``."""
