"""What becomes of a run: the file of results, the page, the comparison of two."""
