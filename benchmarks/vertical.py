"""``make bench-vertical``: what vertical XGBoost costs both sides, under Paillier with 2048 bits, and that the trees are xgboost's.

    python -m benchmarks.vertical [--sizes 10000 30000 100000 300000]

Every run has a process for each party (`benchmarks.vertical_processes`). Prints tables and writes runs/bench/vertical.json. CPU seconds are
those of both parties and the hub between trees; what comes before the first tree is printed beside. Figures of peers are those of runs on
a 2-core machine; they are repeated here and not measured again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import vertical_phe, vertical_setups
from benchmarks.vertical_processes import Measured, run

FOLDER = Path("runs/bench")
SIZES = (10_000, 30_000, 100_000, 300_000)


@dataclass(frozen=True, slots=True)
class Peer:
    """A measured figure of another platform, on the set-up of `vertical_setups.peers`."""

    name: str
    cpu_s: float
    mb: float | None


PEERS = (
    Peer("SecretFlow 1.11, Okamoto-Uchiyama 2048", 6, 7.8),
    Peer("SecretFlow 1.11, Paillier 2048", 57, 14.5),
    Peer("FATE 2.2, Paillier 1024, 30k rows", 210, None),
)


def figures_of(setup: vertical_setups.Vertical, measured: Measured) -> dict[str, Any]:
    """What is reported of a run."""
    tree, before = measured.per_tree(), measured.before_trees()
    return {
        "rows": setup.rows,
        "trees": setup.job.n_estimators,
        "rows_per_ciphertext": setup.job.rows_per_ciphertext,
        "cpu_s_per_tree": sum(tree.cpu.values()),
        "cpu_s_per_tree_by": dict(tree.cpu),
        "wall_s_per_tree": tree.wall,
        "mb_per_tree": tree.sent / 1e6,
        "cpu_s_before_trees": sum(before.cpu.values()),
        "cpu_s_opening": sum(measured.opened.cpu.values()),
        "mb_before_trees": before.sent / 1e6,
        "rss_gib": dict(measured.rss_gib),
    }


def with_identity(setup: vertical_setups.Vertical, measured: Measured, figures: dict[str, Any]) -> dict[str, Any]:
    """The figures of a run, and how many of its trees are those of plain xgboost on the joined table; what phe would take for them."""
    compared = setup.compare(measured.outcomes)
    phe = vertical_phe.measure()
    operations = vertical_phe.Operations.of_tree(
        compared.rows, compared.asked_rows, compared.asked_nodes, setup.partner_features, compared.cells
    )
    return figures | {
        "development_rows": compared.rows,
        "asked_rows_per_tree": compared.asked_rows,
        "trees_identical": compared.identical,
        "bytes_identical": compared.bytes_identical,
        "phe_cpu_s_per_tree": phe.of(operations),
        "speedup_vs_phe": phe.of(operations) / figures["cpu_s_per_tree"],
    }


def _print_run(title: str, figures: Mapping[str, Any]) -> None:
    by = ", ".join(f"{name} {seconds:.2f}" for name, seconds in figures["cpu_s_per_tree_by"].items())
    rss = ", ".join(f"{name} {gib:.2f}" for name, gib in figures["rss_gib"].items())
    print(
        f"{title}: {figures['development_rows']:,} development rows of {figures['rows']:,}, {figures['trees']} trees, "
        f"{figures['rows_per_ciphertext']} rows in a ciphertext"
    )
    print(
        f"  a tree: {figures['cpu_s_per_tree']:.2f} CPU s ({by}), {figures['wall_s_per_tree']:.2f} s on the clock, "
        f"{figures['mb_per_tree']:.2f} MB from party to party"
    )
    print(
        f"  before the first: {figures['cpu_s_before_trees']:.1f} CPU s, {figures['mb_before_trees']:.2f} MB; peak GiB: {rss}"
    )
    print(f"  trees identical to xgboost on the joined table: {figures['trees_identical']}/{figures['trees']}")
    print(
        f"  phe as it comes (extrapolated): {figures['phe_cpu_s_per_tree']:,.0f} CPU s a tree, "
        f"{figures['speedup_vs_phe']:.0f} times as much\n",
        flush=True,
    )


def _print_peers(figures: Mapping[str, Any]) -> None:
    print(f"{'peers set-up: 13 + 10 features, 32 bins, depth 3':<50}{'CPU s a tree':>14}{'MB a tree':>12}")
    ours = Peer("riskfed, Paillier 2048", figures["cpu_s_per_tree"], figures["mb_per_tree"])
    for peer in (ours, *PEERS):
        print(f"{peer.name:<50}{peer.cpu_s:>14.1f}{'-' if peer.mb is None else f'{peer.mb:.1f}':>12}")
    print(flush=True)


def _print_size(figures: Mapping[str, Any], smaller: Mapping[str, Any] | None, first: Mapping[str, Any]) -> None:
    ratio = _per_row(figures) / _per_row(first)
    further = "-"
    if smaller is not None:
        seconds = figures["cpu_s_per_tree"] - smaller["cpu_s_per_tree"]
        further = f"{1e6 * seconds / (figures['rows'] - smaller['rows']):.1f}"
    print(
        f"{figures['rows']:>12,}{figures['cpu_s_per_tree']:>16.2f}{figures['wall_s_per_tree']:>14.2f}{1e6 * _per_row(figures):>16.1f}"
        f"{ratio:>10.2f}{further:>16}{figures['mb_per_tree']:>12.2f}{max(figures['rss_gib'].values()):>12.2f}",
        flush=True,
    )


def _per_row(figures: Mapping[str, Any]) -> float:
    return float(figures["cpu_s_per_tree"] / figures["rows"])


def measure_sizes(sizes: Sequence[int]) -> list[dict[str, Any]]:
    """The same job on more and more synthetic rows, with a table."""
    print("synthetic continuous columns, 13 + 10 features, 32 bins, depth 3")
    print(
        f"{'rows':>12}{'CPU s a tree':>16}{'s a tree':>14}{'CPU us a row':>16}"
        f"{'to first':>10}{'a further row':>16}{'MB a tree':>12}{'peak GiB':>12}"
    )
    measured: list[dict[str, Any]] = []
    for rows in sizes:
        setup = vertical_setups.synthetic(rows)
        measured.append(figures_of(setup, run(setup.processes())))
        _print_size(measured[-1], measured[-2] if len(measured) > 1 else None, measured[0])
    print()
    return measured


def main() -> None:
    """Measure, print tables and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    sizes = sorted(parser.parse_args().sizes)
    runs = {}
    for title, setup in (("peers' set-up", vertical_setups.peers()), ("depth 5", vertical_setups.depth5())):
        measured = run(setup.processes())
        runs[title] = with_identity(setup, measured, figures_of(setup, measured))
        _print_run(title, runs[title])
    peers, depth5 = runs.values()
    _print_peers(peers)
    scaling = measure_sizes(sizes)
    FOLDER.mkdir(parents=True, exist_ok=True)
    every = [peers, depth5, *scaling]
    report = {
        "cpu_s_per_tree_peers_setup": peers["cpu_s_per_tree"],
        "mb_per_tree_peers_setup": peers["mb_per_tree"],
        "cpu_s_per_tree_depth5": depth5["cpu_s_per_tree"],
        "speedup_vs_phe": min(peers["speedup_vs_phe"], depth5["speedup_vs_phe"]),
        "rss_gib": max(max(figures["rss_gib"].values()) for figures in every),
        "identical": peers["bytes_identical"] and depth5["bytes_identical"],
        "peers_setup": peers,
        "depth5": depth5,
        "scaling": scaling,
    }
    path = FOLDER / "vertical.json"
    path.write_text(json.dumps(report, indent=2) + "\n")
    print(f"written to {path}")


if __name__ == "__main__":
    main()
