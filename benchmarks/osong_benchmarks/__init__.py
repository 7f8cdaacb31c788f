"""What is measured, against whom, and on which machine: ``osong bench --help``."""
