"""Bring past days in from the exchange's archive: the same as `crypto-stream backfill`.

Example: python scripts/backfill_data.py --from 2024-08-08 --to 2024-08-09 --symbol BTCUSDT
"""

import sys

from streaming.cli import main

if __name__ == "__main__":
    sys.argv.insert(1, "backfill")
    main()
