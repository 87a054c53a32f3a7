"""``riskfed demo``, ``demo-vertical``, ``up`` and ``down``: the whole stack on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

Folder = Annotated[Path, typer.Option(help="Everything is written below it; it is emptied first.")]
Trees = Annotated[int, typer.Option(help="Trees to grow.")]
Depth = Annotated[int, typer.Option(help="Levels of splits.")]
Bins = Annotated[int, typer.Option(help="Most bins of a feature.")]
Protection = Annotated[Literal["paillier", "masking"], typer.Option(help="How sums are protected.")]
Transport = Annotated[Literal["session", "message"], typer.Option(help="How steps travel over Flower.")]


def demo(
    folder: Folder = Path("runs/demo"),
    trees: Trees = 50,
    depth: Depth = 4,
    max_bin: Bins = 32,
    protection: Protection = "paillier",
    transport: Transport = "session",
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running until interrupted.")] = False,
) -> None:
    """Five banks train one model on real records, encrypted, over a real Flower deployment."""
    from rich.console import Console

    from riskfed.demo.demo import Settings, run_demo
    from riskfed.jobs import HorizontalXgboost

    job = HorizontalXgboost(
        n_estimators=trees,
        max_depth=depth,
        max_bin=max_bin,
        learning_rate=0.15,
        validation_fraction=0.2,
        compare_alone=True,
    )
    settings = Settings(folder.resolve(), job, protection, transport=transport, keep=keep)
    run_demo(settings, Console(soft_wrap=True))


def demo_vertical(
    folder: Folder = Path("runs/demo-vertical"),
    model: Annotated[
        Literal["xgboost", "logistic"],
        typer.Option(
            help="Trees, under the lender's key; or a scorecard in two parts, with a coordinator that holds the key."
        ),
    ] = "xgboost",
    trees: Trees = 30,
    depth: Depth = 4,
    max_bin: Bins = 32,
    key_bits: Annotated[int, typer.Option(help="Bits of the Paillier key.")] = 2048,
    transport: Transport = "session",
    rows: Annotated[int | None, typer.Option(help="People to draw customers from; by default all 30,000.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running until interrupted.")] = False,
) -> None:
    """A lender and a partner with other columns of the same customers train one model, encrypted, and score applicants jointly."""
    from rich.console import Console

    from riskfed.demo.vertical import JointSettings, joint_scorecard, joint_trees, run_vertical_demo

    job = joint_trees(trees, depth, max_bin) if model == "xgboost" else joint_scorecard()
    settings = JointSettings(folder.resolve(), job, key_bits, transport, rows, keep)
    run_vertical_demo(settings, Console(soft_wrap=True))


def up(folder: Folder = Path("runs/up"), trees: Trees = 50, protection: Protection = "paillier") -> None:
    """Run the demo and keep its SuperLink, nodes, MLflow and scoring API running in the background."""
    from riskfed.demo import background

    background.start(folder.resolve(), ["--trees", str(trees), "--protection", protection])


def down(folder: Folder = Path("runs/up")) -> None:
    """Stop what ``riskfed up`` keeps running."""
    from riskfed.demo import background

    typer.echo("stopped" if background.stop(folder.resolve()) else "nothing is running")
