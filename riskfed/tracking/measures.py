"""An evaluation as MLflow's metrics, by section of the chart view: ``valid``, ``calibration``, ``stability``, ``fairness``, ``champion``,
``scorecard``. Undefined figures are left out; intervals stand in tables and report, because each metric takes a whole card of the view.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from riskfed.evaluation.record import Evaluation
from riskfed.scorecard.card import Scorecard
from riskfed.tracking.joint import ALONE

_ELSEWHERE = frozenset({"calibration_slope", "calibration_intercept", "psi", "hhi", ALONE})
"""Figures of the headline that have a section of their own."""


def section_metrics(evaluation: Evaluation, card: Scorecard | None = None) -> dict[str, float]:
    """Metric -> value of all sections but ``valid``, whose figures the release states itself."""
    sections: Mapping[str, Mapping[str, float | None]] = {
        "calibration": _calibration(evaluation),
        "stability": _stability(evaluation),
        "fairness": _fairness(evaluation),
        "champion": _champion(evaluation),
        "scorecard": {} if card is None else _scorecard(card),
    }
    return {
        f"{section}/{name}": value
        for section, figures in sections.items()
        for name, value in figures.items()
        if value is not None
    }


def safe_name(name: str) -> str:
    """A bank's name with the characters that MLflow takes in a metric's name."""
    return re.sub(r"[^A-Za-z0-9_.\- ]", "_", name)


def valid_metrics(metrics: Mapping[str, float]) -> dict[str, float]:
    """Metric -> value of the section ``valid``: the released figures on the held-out loans, but those that other sections show."""
    return {f"valid/{name}": value for name, value in metrics.items() if name not in _ELSEWHERE}


def _calibration(evaluation: Evaluation) -> dict[str, float | None]:
    fit = evaluation.calibration
    return {
        "slope": fit.slope.value,
        "intercept": fit.intercept.value,
        "mean_pd": fit.mean_pd,
        "default_rate": fit.default_rate,
        "hosmer_lemeshow_p": fit.hosmer_lemeshow_p,
        "least_jeffreys_p": min((grade.jeffreys_p for grade in evaluation.grades), default=None),
    }


def _stability(evaluation: Evaluation) -> dict[str, float | None]:
    shifts = [shift.index for shift in evaluation.features if shift.index is not None]
    return {
        "psi": evaluation.score_shift.index,
        "psi_noise": evaluation.score_shift.noise,
        "greatest_csi": max(shifts, default=None),
        "hhi": evaluation.concentration,
    }


def _fairness(evaluation: Evaluation) -> dict[str, float | None]:
    figures: dict[str, float | None] = {"approval_rate": evaluation.approval_rate if evaluation.groups else None}
    for group in evaluation.groups:
        if group.role == "protected":
            # MLflow's names take no brackets, commas or signs of comparison.
            name = "".join(c if c.isalnum() or c in "_.- " else "_" for c in f"{group.attribute} {group.level}")
            figures |= {f"air {name}": group.air, f"smd {name}": group.smd}
    return figures


def _champion(evaluation: Evaluation) -> dict[str, float | None]:
    if evaluation.swap is None:
        return {}
    return {"auc": evaluation.swap.champion_auc, "auc_difference": evaluation.swap.auc_difference.value}


def _scorecard(card: Scorecard) -> dict[str, float | None]:
    vifs = [variable.vif for variable in card.variables if variable.vif is not None]
    return {
        "variables": float(len(card.variables)),
        "aic": card.fit.aic,
        "bic": card.fit.bic,
        "iterations": float(card.fit.iterations),
        "total_iv": sum(variable.iv for variable in card.variables),
        "greatest_vif": max(vifs, default=None),
        "greatest_p_value": max((variable.p_value for variable in card.variables), default=None),
    }
