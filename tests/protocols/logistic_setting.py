"""Vertical logistic runs in one process, a cipher that hides nothing, and the joined table that runs are held against."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from riskfed.datasets import load_taiwan, taiwan_schema
from riskfed.jobs import VerticalLogistic
from riskfed.linear.descent import Rates, batches
from riskfed.linear.reference import Descent, descend
from riskfed.linear.sigmoids import polynomial_of
from riskfed.protocols.program import Program
from riskfed.protocols.records import Records
from riskfed.protocols.vertical.holdout import is_held_out
from riskfed.protocols.vertical.place import Place
from riskfed.protocols.vertical_logistic import coordinator, feature_holder, label_holder, residuals
from riskfed.protocols.vertical_logistic.woe_counts import own_bins
from riskfed.schema import Schema
from riskfed.scorecard.grid import public_grid
from tests.helpers import exchange_all
from tests.vertical.setting import ID, LENDER, Setting

COORDINATOR = "notary"


class PlainSums:
    """Sums that hide nothing."""

    def __init__(self, sums: list[int]) -> None:
        self.question = json.dumps(sums).encode()

    def reveal(self, opened: bytes) -> list[int]:
        return list(json.loads(opened))


class PlainVector:
    """A vector that hides nothing."""

    def __init__(self, values: list[int]) -> None:
        self.values = values

    def plus(self, values: np.ndarray) -> PlainVector:
        return PlainVector([a + b for a, b in zip(self.values, values.tolist(), strict=True)])

    def to_bytes(self) -> bytes:
        return json.dumps(self.values).encode()

    def weighted_sums(self, weights: np.ndarray) -> PlainSums:
        return PlainSums([sum(map(int.__mul__, self.values, column)) for column in weights.T.tolist()])


class PlainPowers:
    """Powers of numbers that hide nothing."""

    def __init__(self, values: list[int]) -> None:
        self.values = values

    def polynomial(self, coefficients: np.ndarray, plain: np.ndarray) -> PlainVector:
        rows = zip(self.values, coefficients.tolist(), plain.tolist(), strict=True)
        return PlainVector([sum(c * u**k for k, c in enumerate(row, 1)) + constant for u, row, constant in rows])


class PlainEncryptor:
    """An encryptor that hides nothing."""

    def __init__(self, public: bytes, layout: Any, *, least_key_bits: int = 2048) -> None:
        assert public == b"plain"

    def with_layout(self, public: bytes, layout: Any) -> PlainEncryptor:
        return PlainEncryptor(public, layout)

    def encrypt(self, values: np.ndarray) -> bytes:
        return PlainVector(values.tolist()).to_bytes()

    def encrypt_powers(self, values: np.ndarray, degree: int) -> bytes:
        return self.encrypt(values)

    def read(self, data: bytes, rows: int, *, bound: int | None = None) -> PlainVector:
        return PlainVector(json.loads(data))

    def read_powers(self, data: bytes, rows: int, degree: int, *, bound: int | None = None) -> PlainPowers:
        return PlainPowers(json.loads(data))


class PlainKey:
    """A key that hides nothing."""

    public = b"plain"

    def __init__(self, key: Any, layout: Any) -> None: ...

    def open(self, question: bytes) -> bytes:
        return question


def without_cryptography(monkeypatch: Any) -> None:
    """Replace the cipher."""
    monkeypatch.setattr(residuals, "VectorEncryptor", PlainEncryptor)
    monkeypatch.setattr(coordinator, "VectorKey", PlainKey)
    monkeypatch.setattr(coordinator, "generate_paillier_key", lambda bits: None)


def job(**fields: Any) -> VerticalLogistic:
    """A short one."""
    given = {"label_holder": LENDER, "coordinator": COORDINATOR, "epochs": 4, "batch_size": 128}
    return VerticalLogistic(**{**given, "validation_fraction": 0.25, **fields})


class LogisticSetting(Setting):
    """A joined table, who holds what of it, and a coordinator that holds nothing."""

    job: VerticalLogistic

    @property
    def everybody(self) -> tuple[str, ...]:
        """Record holders and the coordinator."""
        return tuple(sorted((*self.roster, COORDINATOR)))

    def program(self, party: str, journal: Sequence[bytes] | None = None, **options: Any) -> Program[Any]:
        """A party's program."""
        fields = {"me": party, "roster": self.everybody, "journal": journal, **options}
        if party == COORDINATOR:
            return coordinator.train(self.job, Place(**fields))
        module = label_holder if party == LENDER else feature_holder
        return module.train(self.records[party], self.schema, self.job, Place(**{"kept": self.kept, **fields}))

    def run(self, heard: Any = lambda *_: None, **options: Any) -> dict[str, Any]:
        """All programs to the end."""
        return exchange_all({name: self.program(name, **options) for name in self.everybody}, heard)

    def joined_design(self) -> tuple[np.ndarray, Records, np.ndarray]:
        """(n, m) float inputs of all common customers, of development centred; their records, and which are for development."""
        fields = {name: getattr(self.schema, name) for name in Schema.model_fields}
        schema = Schema(**{**fields, "features": self.schema.joined_features})
        whole = Records.from_frame(self.table, schema)
        held_out = is_held_out(ID.normalised(self.table["id"]), self.job.validation_fraction, self.job.validation_seed)
        learned = whole.where(~held_out)
        if self.job.inputs == "standardised":
            own = learned.matrix.astype(np.float64)
            varied = np.nanstd(own, axis=0) > 0
            standard = (whole.matrix - np.nanmean(own, axis=0)) / np.where(varied, np.nanstd(own, axis=0), 1)
            return np.nan_to_num(standard[:, varied]), whole, ~held_out
        binned = [feature for feature in own_bins(public_grid(schema), learned, self.job) if feature.separates]
        design = np.stack([feature.weigh(feature.bins.codes(whole.column)) for feature in binned], axis=1)
        return design - design[~held_out].mean(axis=0), whole, ~held_out

    def plain_descent(self) -> tuple[Descent, np.ndarray, Records, np.ndarray]:
        """The same descent in plain, on what `joined_design` gives."""
        design, whole, learned = self.joined_design()
        ids, chosen = ID.normalised(self.table["id"])[learned], self.job
        found = descend(
            design[learned],
            (whole.labels[learned] != 0).astype(np.float64),
            polynomial_of(chosen.sigmoid),
            Rates(chosen.learning_rate, chosen.momentum, chosen.l2),
            lambda epoch: batches(ids, chosen.batch_size, chosen.validation_seed, epoch),
            chosen.epochs,
        )
        return found, design, whole, learned


def taiwan(job: VerticalLogistic, rows: int = 800, partners: int = 1, columns: int = 3) -> LogisticSetting:
    """A few columns of a lender and one or two partners."""
    application = ("limit_bal", "age", "bill_amt1", "education")[:columns]
    delays, amounts = ("pay_0", "pay_2", "pay_3")[:columns], ("pay_amt1", "pay_amt2")
    holders = {LENDER: application, "bureau": (*delays, *amounts)}
    if partners > 1:
        holders = {LENDER: application, "bureau": delays, "shop": amounts}
    joint, named = taiwan_schema(), {name for names in holders.values() for name in names}
    chosen = joint.model_copy(
        update={"features": tuple(f for f in joint.features if f.name in named), "attributes": ()}
    )
    return LogisticSetting(
        load_taiwan().iloc[:rows], Schema(**{n: getattr(chosen, n) for n in Schema.model_fields}), holders, job
    )


def coefficients_of(outcomes: dict[str, Any]) -> np.ndarray:
    """(1 + m,) of all parties, the intercept first, as `joined_design` has the columns."""
    model = json.loads(outcomes[LENDER].full.model)
    partners = [name for name in sorted(outcomes) if name not in (LENDER, COORDINATOR)]
    terms = [outcomes[name].part.score.terms for name in partners]
    own = [term["coefficient"] for term in model["own"]["terms"]]
    return np.array([model["intercept"], *own, *(term.coefficient for some in terms for term in some)])
