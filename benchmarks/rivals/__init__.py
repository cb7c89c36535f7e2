"""This worker beside common ways to do the bare job: the same calls, the same API, without any guarantee.

``make bench ARGS=rivals``; RIVALS_ROUNDS, RIVALS_JOBS, RIVALS_IN_FLIGHT and RIVALS (names, with commas) change what is run. The
contenders of a round run one after the other, or with RIVALS_TOGETHER side by side: then other load of the machine does not distort the
ratios of CPU. Linux only.
"""

from benchmarks.rivals.contest import main

__all__ = ["main"]
