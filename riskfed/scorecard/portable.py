"""Elementary functions that give the same bits on every machine.

IEEE 754 fixes + - * / and the square root. It does not fix the logarithm or erfc: C libraries differ in the last bit, and the same library
may with the processor. What banks derive from pooled sums must be equal at all of them, so these functions compute in decimal
arithmetic, whose every operation is correctly rounded (General Decimal Arithmetic Specification 1.70), and round once at the end.
"""

from __future__ import annotations

import math
from decimal import Context, Decimal, localcontext

_CONTEXT = Context(prec=45, Emin=-999_999, Emax=999_999)
_PI = Decimal("3.14159265358979323846264338327950288419716939937511")
_TAIL = 5
_LEVELS = 80
_NOTHING = 39
"""Beyond so many standard deviations the tail is below every float."""


def log(value: float) -> float:
    """Natural logarithm of a finite number above 0, correctly rounded but for ties of 45 digits.

    Raises:
        ValueError: the number is 0, negative or not finite.
    """
    if not 0 < value < math.inf:
        raise ValueError("the logarithm needs a finite number above 0")
    return float(_CONTEXT.ln(Decimal(value)))


def two_sided_p(z: float) -> float:
    """Probability that a standard normal variable lies at least |z| from 0: erfc(|z| / sqrt 2), within 1 ULP.

    Near 0 by the series of Marsaglia (2004, Evaluating the Normal Distribution, J. Stat. Softw. 11(4), p. 4), in the tail by Laplace's
    continued fraction (Abramowitz and Stegun 1964, 26.2.14). The p-value of a chi-squared statistic s with one degree of freedom
    is ``two_sided_p(math.sqrt(s))``.

    Args:
        z: any number, not missing; beyond 39 the result is 0.0.

    Raises:
        ValueError: z is NaN.
    """
    if math.isnan(z):
        raise ValueError("the p-value of NaN is not defined")
    if abs(z) >= _NOTHING:
        return 0.0
    with localcontext(_CONTEXT):
        distance = Decimal(abs(z))
        density = (-distance * distance / 2).exp() / (2 * _PI).sqrt()
        if distance < _TAIL:
            return float(1 - 2 * density * _series(distance))
        return float(2 * density / _fraction(distance))


def _series(z: Decimal) -> Decimal:
    """z + z^3/3 + z^5/(3 5) + z^7/(3 5 7) + ..."""
    total = term = z
    odd = 1
    while total + term != total:
        odd += 2
        term = term * z * z / odd
        total += term
    return total


def _fraction(z: Decimal) -> Decimal:
    """z + 1/(z + 2/(z + 3/(z + ...)))"""
    value = z
    for level in range(_LEVELS, 0, -1):
        value = z + level / value
    return value
