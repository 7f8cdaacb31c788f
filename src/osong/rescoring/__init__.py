"""Rescoring of poses with convolutional neural networks (GNINA's): see ``docs/rescoring.md``."""
