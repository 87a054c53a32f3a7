"""What is encrypted under the coordinator's key, and the bounds that decide how it is packed: public, computed by all parties alike."""

from __future__ import annotations

from typing import Final

from riskfed.errors import JobError, PolicyError
from riskfed.jobs import VerticalLogistic
from riskfed.linear.descent import INPUT_BITS, FixedPoint
from riskfed.linear.sigmoids import polynomial_of
from riskfed.protocols.vertical.aligned import AlignedRecords
from riskfed.protocols.vertical_rules import VerticalRules
from riskfed.schema import Schema
from riskfed.secure.encrypted_vectors import VectorLayout

WOE_BOUND: Final = 32
"""No centred weight of evidence is larger in size: of n loans, none is beyond 2 ln(2 n)."""
STANDARD_BOUND: Final = 1024
"""No standardised value is larger in size: of n rows, none is beyond the root of n; above a million rows it is bounded."""
MOST_ROWS: Final = 1 << 24
"""Most common customers."""
_SCORES_PER_CIPHERTEXT: Final = 4
CROSS_BITS: Final = 24
"""Weights of a feature holder's scores in the loss of the cubic polynomial have so many bits; they are below 1, and fractional."""
_LABELS_PER_CIPHERTEXT: Final = 4


def input_bound(job: VerticalLogistic) -> int:
    """No input is larger in size."""
    return WOE_BOUND if job.inputs == "woe" else STANDARD_BOUND


def label_layout(key_bits: int) -> VectorLayout:
    """Of labels, summed by cell."""
    return VectorLayout(key_bits, 1, 1, MOST_ROWS, _LABELS_PER_CIPHERTEXT)


def residual_layout(job: VerticalLogistic, feature_holders: int, key_bits: int) -> VectorLayout:
    """Of scores on their way to residuals, summed with inputs for weights.

    Raises:
        JobError: they do not fit the key.
    """
    polynomial = polynomial_of(job.sigmoid)
    fixed = FixedPoint.of(polynomial)
    if polynomial.degree == 1:
        bound = (feature_holders + 1) * fixed.score(polynomial.reach) + (1 << (fixed.residual_bits - 1))
    else:
        bound = int(polynomial.most_residual * 2**fixed.residual_bits)
    most_weight = input_bound(job) << INPUT_BITS
    return VectorLayout(key_bits, bound, most_weight, 2 * job.batch_size, job.rows_per_ciphertext)


def score_layout(job: VerticalLogistic, key_bits: int) -> VectorLayout:
    """Of a feature holder's scores as they are, of which the loss of the cubic polynomial needs one sum."""
    polynomial = polynomial_of(job.sigmoid)
    bound = FixedPoint.of(polynomial).score(polynomial.reach)
    return VectorLayout(key_bits, bound, 1 << CROSS_BITS, 2 * job.batch_size, _SCORES_PER_CIPHERTEXT)


def check_job(job: VerticalLogistic, feature_holders: int) -> None:
    """Refuse what no records could make good.

    Raises:
        JobError: the cubic polynomial with more than one feature holder.
    """
    if not feature_holders:
        raise JobError("a vertical logistic regression needs a feature holder beside label holder and coordinator")
    if polynomial_of(job.sigmoid).degree > 1 and feature_holders > 1:
        raise JobError(
            f"sigmoid cubic raises one feature holder's scores to powers; got {feature_holders} feature holders. Use sigmoid taylor"
        )


def check_schema(schema: Schema) -> None:
    """Refuse rows of different weight.

    Raises:
        JobError: the schema weights rows.
    """
    if schema.weight is not None:
        raise JobError(
            f"the schema weights rows by {schema.weight}, which a vertical logistic regression cannot do; use a schema without weight"
        )


def check_batches(aligned: AlignedRecords, job: VerticalLogistic, rules: VerticalRules, columns: int) -> None:
    """Refuse mini-batches so small that gradients would tell single residuals.

    Args:
        aligned: the common customers.
        job, rules: the job, and what this party's policy says.
        columns: of the party, or the most of any; a mini-batch has more rows.

    Raises:
        JobError: no development row is left, or fewer than columns.
        PolicyError: fewer than the policy wants, or more gradient sums in all.
    """
    rows = int(aligned.learned.sum())
    smallest = min(rows, job.batch_size)
    if smallest <= columns:
        raise JobError(
            f"the smallest mini-batch has no more rows than a party has columns ({columns}); the job needs a larger batch_size, or "
            "the parties more common customers"
        )
    if smallest < rules.least_batch:
        raise PolicyError(
            f"policy rule min_batch: this party takes part in mini-batches of {rules.least_batch} rows and more; the job's smallest "
            "would have fewer; the job needs a larger batch_size",
            "min_batch",
        )
    number = max(rows // job.batch_size, 1)
    sums = job.epochs * number * columns
    if sums > rules.most_sums_per_row * rows:
        raise PolicyError(
            f"policy rule max_sums_per_row: {job.epochs} epochs of {number} mini-batches are {sums} gradient sums of {columns} columns on "
            f"{rows} rows; this party wants {rules.most_sums_per_row:g} a row at most, since labels follow from many; the job needs fewer "
            "epochs or a larger batch_size",
            "max_sums_per_row",
        )
