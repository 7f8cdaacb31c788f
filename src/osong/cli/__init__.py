"""The command line: `osong`."""
