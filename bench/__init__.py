"""How fast, and against what: `python -m bench [CASE …]`, or `make bench`.

Each case makes seeded data, runs our side and a yardstick in turn, compares what came out with the
truth, and only then tells the ratio. See docs/performance.md for what came of it.
"""
