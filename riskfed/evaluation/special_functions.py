"""Special functions that give the same bits on every machine.

IEEE 754 fixes + - * / and the square root; exp, log and lgamma differ in the last bit from one C library or processor to the next. What is
published must be equal at every bank, so these functions compute in decimal arithmetic, whose every operation is correctly rounded
(General Decimal Arithmetic Specification 1.70), and round once at the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Context, Decimal, localcontext
from fractions import Fraction

_CONTEXT = Context(prec=50, Emin=-999_999_999, Emax=999_999_999)
_CONVERGED = Decimal("1e-32")
_TINY = Decimal("1e-300")
_MOST_TERMS = 1_000_000
_LN_2PI = Decimal("1.8378770664093454835606594728112352797227949472755668")
_STIRLING_FROM = 32
_STIRLING = tuple(
    _CONTEXT.divide(Decimal(term.numerator), Decimal(term.denominator))
    for term in (
        # B_2k / (2k (2k - 1)), Bernoulli's numbers (DLMF 5.11.1)
        Fraction(1, 12),
        Fraction(-1, 360),
        Fraction(1, 1260),
        Fraction(-1, 1680),
        Fraction(1, 1188),
        Fraction(-691, 360360),
        Fraction(1, 156),
        Fraction(-3617, 122400),
        Fraction(43867, 244188),
        Fraction(-174611, 125400),
        Fraction(77683, 5796),
        Fraction(-236364091, 1506960),
        Fraction(657931, 300),
    )
)
"""Within 1e-34 from 32 upwards."""
_FURTHEST = 745.0
"""Beyond it exp(-x) is 0 as a float."""


def log(value: float) -> float:
    """Natural logarithm of a finite number above 0."""
    return float(_CONTEXT.ln(Decimal(value)))


def logistic(log_odds: float) -> float:
    """1 / (1 + exp(-x)), for any number; beyond +-745 as there."""
    with localcontext(_CONTEXT):
        return float(1 / (1 + (-Decimal(min(max(log_odds, -_FURTHEST), _FURTHEST))).exp()))


def beta_cdf(x: float, a: float, b: float) -> float:
    """P(X <= x) of a beta variable: the regularised incomplete beta function, by its continued fraction (DLMF 8.17.22).

    Args:
        x: any number; below 0 the result is 0, above 1 it is 1.
        a, b: above 0.
    """
    if x <= 0 or x >= 1:
        return float(x >= 1)
    with localcontext(_CONTEXT):
        at, p, q = Decimal(x), Decimal(a), Decimal(b)
        # On the other side of the mean it converges slowly, and I_x(a, b) = 1 - I_(1-x)(b, a) (DLMF 8.17.4).
        if at <= (p + 1) / (p + q + 2):
            return float(_beta_fraction(at, p, q))
        return float(1 - _beta_fraction(1 - at, q, p))


def chi2_tail(statistic: float, freedom: int) -> float:
    """P(X > statistic) of a chi-squared variable: the regularised upper incomplete gamma function Q(freedom / 2, statistic / 2).

    By its series (DLMF 8.7.1) or continued fraction (DLMF 8.9.2), whichever converges.

    Args:
        statistic: 0 or more, finite.
        freedom: degrees of freedom, 1 or more.
    """
    if statistic <= 0:
        return 1.0
    with localcontext(_CONTEXT):
        s, x = Decimal(freedom) / 2, Decimal(statistic) / 2
        weight = (s * x.ln() - x - _log_gamma(s)).exp()
        if x < s + 1:
            return float(1 - weight * _gamma_series(s, x))
        return float(weight * _continued(x + 1 - s, _gamma_terms(s, x)))


def _log_gamma(x: Decimal) -> Decimal:
    """Stirling's series (DLMF 5.11.1), from far enough up."""
    product = Decimal(1)
    while x < _STIRLING_FROM:
        product, x = product * x, x + 1
    series, power = Decimal(0), x
    for term in _STIRLING:
        series, power = series + term / power, power * x * x
    return (x - Decimal("0.5")) * x.ln() - x + _LN_2PI / 2 + series - product.ln()


def _beta_fraction(x: Decimal, a: Decimal, b: Decimal) -> Decimal:
    log_beta = _log_gamma(a) + _log_gamma(b) - _log_gamma(a + b)
    weight = (a * x.ln() + b * (1 - x).ln() - log_beta).exp() / a
    return weight * _continued(Decimal(1), _beta_terms(x, a, b))


def _beta_terms(x: Decimal, a: Decimal, b: Decimal) -> Iterator[tuple[Decimal, Decimal]]:
    one = Decimal(1)
    for m in range(_MOST_TERMS):
        if m:
            yield m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)), one
        yield -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)), one


def _gamma_series(s: Decimal, x: Decimal) -> Decimal:
    """The sum of x^n / (s (s + 1) ... (s + n))."""
    total = term = 1 / s
    for n in range(1, _MOST_TERMS):
        term = term * x / (s + n)
        total += term
        if term < total * _CONVERGED:
            break
    return total


def _gamma_terms(s: Decimal, x: Decimal) -> Iterator[tuple[Decimal, Decimal]]:
    for n in range(1, _MOST_TERMS):
        yield -n * (n - s), x + 2 * n + 1 - s


def _continued(first: Decimal, terms: Iterator[tuple[Decimal, Decimal]]) -> Decimal:
    """1 / (first + a1 / (b1 + a2 / (b2 + ...))) of (a, b) in turn, by Lentz's method as Thompson and Barnett (1986) amended it."""
    value = c = first or _TINY
    d = Decimal(0)
    for a, b in terms:
        d = 1 / (b + a * d or _TINY)
        c = b + a / c or _TINY
        step = c * d
        value *= step
        if abs(step - 1) < _CONVERGED:
            break
    return 1 / value
