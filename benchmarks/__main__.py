"""``python -m benchmarks``: the suite of this checkout."""

from osong_benchmarks.__main__ import main

if __name__ == "__main__":
    main()
