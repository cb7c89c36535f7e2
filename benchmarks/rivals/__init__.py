"""This worker beside common ways to do the bare job: the same calls, the same API, without any guarantee.

``make bench ARGS=rivals``; RIVALS_ROUNDS, RIVALS_JOBS, RIVALS_IN_FLIGHT and RIVALS (names, with commas) change what is run. Those of a
round run one after the other; with RIVALS_TOGETHER side by side, which keeps the ratios of CPU true on a machine that is busy otherwise.
Linux only.
"""

from benchmarks.rivals.contest import main

__all__ = ["main"]
