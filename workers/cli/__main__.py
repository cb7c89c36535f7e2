"""``python -m workers.cli``, the same as ``coupontools-worker``."""

from workers.cli import main

main()
