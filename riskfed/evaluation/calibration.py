"""Whether PDs agree with what happened: Jeffreys' test of each grade, Hosmer and Lemeshow's of all, from counts and sums of PDs."""

from __future__ import annotations

from collections.abc import Sequence

from riskfed.evaluation.special_functions import beta_cdf, chi2_tail


def jeffreys_p(goods: int, bads: int, pd: float) -> float:
    """Probability that a grade's true default rate is at most its PD.

    The posterior under Jeffreys' prior is Beta(bads + 1/2, goods + 1/2) (ECB, Instructions for reporting the validation results of internal
    models, 2019, section 2.5.3.1). Near 0 the PD is too low, near 1 too high.

    Args:
        goods, bads: loans observed.
        pd: mean PD of these loans.
    """
    return beta_cdf(pd, bads + 0.5, goods + 0.5)


def hosmer_lemeshow(rows: Sequence[int], bads: Sequence[int], mean_pds: Sequence[float]) -> tuple[float, float] | None:
    """Hosmer and Lemeshow's statistic over grades, and its p-value.

    The sum of (bads - expected)^2 / (expected (1 - PD)) has, on loans that the model was not fitted on, a chi-squared distribution with as
    many degrees of freedom as there are grades (Hosmer, Lemeshow and Sturdivant 2013, Applied Logistic Regression, 5.2.2). With very many
    loans it finds any departure, however small.

    Args:
        rows, bads, mean_pds: of each grade.

    Returns:
        (statistic, p); None where a grade's PDs are all 0 or all 1, or there is no grade.
    """
    statistic = 0.0
    for n, observed, pd in zip(rows, bads, mean_pds, strict=True):
        variance = n * pd * (1 - pd)
        if not variance > 0:
            return None
        distance = observed - n * pd
        statistic += distance * distance / variance  # not a power: the C library's may round otherwise elsewhere
    return (statistic, chi2_tail(statistic, len(rows))) if rows else None
