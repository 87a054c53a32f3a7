"""How fast the synthetic loans are drawn, in rows per CPU-second, all columns and the label included.

    python benchmarks/synthetic_rate.py --rows 1000000 --repeats 3

CPU time, so that what else the machine does matters little; one thread is all that is used.
"""

from __future__ import annotations

import argparse
import time

from riskfed.datasets import SyntheticLoans


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of a shard (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="shards to draw (default: %(default)s)")
    arguments = parser.parse_args()
    bank = SyntheticLoans(n_banks=1).bank(0)
    bank.shard(0, 1)  # the profile and NumPy's first-call costs
    rates = []
    for number in range(arguments.repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        frame = bank.shard(number, arguments.rows)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        rates.append(len(frame) / cpu)
        print(f"shard {number}: {len(frame):,} rows x {frame.shape[1]} columns, {cpu:.2f} CPU-s, {wall:.2f} s")
    size = frame.memory_usage(deep=True).sum() / len(frame)
    print(f"best {max(rates):,.0f} rows per CPU-second, least {min(rates):,.0f}; {size:.0f} bytes a row")


if __name__ == "__main__":
    main()
