"""``python -m workers.cli``, the same as ``coupontools-worker``."""

from workers.cli.main import main

main()
