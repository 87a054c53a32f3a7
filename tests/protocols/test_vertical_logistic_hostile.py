"""What parties of a vertical logistic regression see of each other, and parties that do not keep to the protocol."""

import contextlib
from functools import partial
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskfed.errors import ContractError, JobError, PolicyError, ProtectionError, RemoteProtocolError, RiskfedError
from riskfed.protocols.alignment import stand_by
from riskfed.protocols.program import Exchange
from riskfed.protocols.vertical.place import Place
from riskfed.protocols.vertical_logistic import coordinator, messages
from riskfed.protocols.vertical_logistic.opened import OPENED, QUESTION, unframe
from riskfed.protocols.vertical_logistic.woe_counts import Cells
from riskfed.protocols.vertical_rules import VerticalRules
from riskfed.scorecard.bins import FeatureBins
from riskfed.secure import paillier_key
from riskfed.secure.encrypted_vectors.messages import number_of_sums, read_opened
from riskfed.secure.primitives import frame
from tests.helpers import exchange_all
from tests.protocols.aligning import Group, tampered
from tests.protocols.logistic_setting import COORDINATOR, coefficients_of, job, taiwan, without_cryptography
from tests.vertical.setting import LENDER

KEY_BITS = 1024
CUBIC = {"sigmoid": "cubic", "rows_per_ciphertext": 1, "learning_rate": 0.1, "inputs": "standardised"}
RULES = VerticalRules(least_key_bits=KEY_BITS)


@pytest.fixture
def plain(monkeypatch):
    """The cipher hides nothing."""
    without_cryptography(monkeypatch)


@pytest.fixture
def short_keys(monkeypatch):
    """Keys that are made fast."""
    monkeypatch.setattr(paillier_key, "MINIMUM_KEY_BITS", KEY_BITS)


class Watched(coordinator.VectorKey):
    """A key that notes what it opens."""

    opened: ClassVar[list[Any]] = []

    def open(self, question):
        answer = super().open(question)
        self.opened.append((self._layout, question, answer))
        return answer


@pytest.fixture(scope="module")
def encrypted():
    """Runs with the cipher: set-up, outcomes, and all that was yielded, with who did."""
    runs = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paillier_key, "MINIMUM_KEY_BITS", KEY_BITS)
        patch.setattr(coordinator, "VectorKey", Watched)
        for name, fields, partners in (("taylor", {"rows_per_ciphertext": 2}, 2), ("cubic", CUBIC, 1)):
            setting = taiwan(job(epochs=1, batch_size=64, **fields), rows=130, partners=partners, columns=2)
            requests = []
            outcomes = setting.run(partial(hear, requests), key_bits=KEY_BITS, rules=RULES)
            runs[name] = setting, outcomes, requests
    return runs


def hear(requests, name, request):
    """Note a request."""
    requests.append((name, request))


@pytest.mark.parametrize("sigmoid", ["taylor", "cubic"])
def test_under_the_cipher_coefficients_are_those_of_the_joined_table(encrypted, sigmoid):
    setting, outcomes, _ = encrypted[sigmoid]
    plain = setting.plain_descent()[0]
    assert np.abs(coefficients_of(outcomes) - [plain.intercept, *plain.coefficients]).max() < 1e-6
    assert np.abs(np.array(outcomes[LENDER].losses) - plain.losses).max() < 1e-6


def test_the_coordinator_sees_no_number_that_its_mask_does_not_hide(encrypted):
    assert len(Watched.opened) > 6
    for layout, question, answer in Watched.opened:
        fields = read_opened(answer, number_of_sums(question), layout)
        # A mask is uniform over 64 bits more than a sum has: one in 2^60 would leave a number as small as this.
        assert all(abs(field - layout.reach) > layout.reach << 3 for field in fields)
    for _, _, requests in encrypted.values():
        told = {r.label for _, r in requests if isinstance(r, Exchange) and COORDINATOR in r.payloads}
        alignment = {"alignment, kept, verdict"}
        assert told == {QUESTION, messages.BEGIN, messages.VERDICT, messages.RELEASED} | alignment


def test_scores_residuals_and_questions_leave_as_ciphertexts_each_once(encrypted):
    exchanges = [r for _, _, requests in encrypted.values() for _, r in requests if isinstance(r, Exchange)]
    hidden = {messages.SCORES, messages.RESIDUALS, QUESTION}
    payloads = [data for r in exchanges if r.label in hidden for data in {bytes(one) for one in r.payloads.values()}]
    assert len(payloads) == len(set(payloads)) > 10
    # Ciphertexts look random: one byte in 256 is 0. Scores of a few bits in wide fields would be zeros.
    assert all(np.mean(np.frombuffer(data, np.uint8) == 0) < 0.05 for data in payloads)


def test_a_short_key_is_refused(short_keys):
    with pytest.raises(ProtectionError, match="1024 bits"):
        taiwan(job(inputs="standardised"), rows=200).run(key_bits=KEY_BITS)


def spoil(party, label, change, nth=0, **fields):
    """Run with one payload changed; what is raised."""
    setting, seen = taiwan(job(epochs=2, **fields), rows=400), [0]

    def changed(said, to, payload):
        if said != label:
            return payload
        seen[0] += 1
        return change(payload) if seen[0] == nth + 1 else payload

    programs = {name: setting.program(name) for name in setting.everybody}
    programs[party] = tampered(programs[party], changed)
    with pytest.raises(RiskfedError) as raised:
        exchange_all(programs)
    return raised.value


@pytest.mark.parametrize(
    ("party", "label"),
    [
        ("bureau", messages.EPOCHS_DONE),
        (LENDER, messages.BEGIN),
        ("bureau", messages.LOSS),
        (LENDER, messages.VERDICT),
        ("bureau", messages.PARTS),
        (COORDINATOR, OPENED),
        (COORDINATOR, messages.PUBLIC_KEY),
    ],
)
@pytest.mark.parametrize("change", [lambda data: None, lambda data: data[:-1]], ids=["nothing", "cut"])
def test_malformed_payloads_are_refused_by_the_senders_name(plain, party, label, change):
    error = spoil(party, label, change, inputs="standardised")
    assert isinstance(error, RemoteProtocolError)
    assert party in str(error)


def test_a_share_that_is_no_number_and_scores_that_are_none_are_refused(plain):
    nan = np.array([np.nan]).astype(">f8").tobytes()
    assert "finite share" in str(spoil("bureau", messages.LOSS, lambda _: nan, inputs="standardised"))
    not_a_number = np.array([np.nan], dtype="<f4").tobytes()
    error = spoil("bureau", messages.PARTS, lambda data: data[:-4] + not_a_number, inputs="standardised")
    assert "held-out scores" in str(error)


def test_counts_that_cannot_be_are_refused(plain):
    error = spoil(COORDINATOR, OPENED, lambda data: frame(*(b"[-1]" for _ in unframe(data, ""))), max_bins=2)
    assert isinstance(error, (ProtectionError, ValueError))


def test_gradients_of_few_rows_are_refused_before_anything_is_trained(plain):
    setting = taiwan(job(batch_size=64))
    with pytest.raises(PolicyError, match="min_batch"):
        setting.run(rules=VerticalRules(least_batch=100))
    with pytest.raises(PolicyError, match="max_sums_per_row"):
        taiwan(job(batch_size=64, epochs=20), rows=400).run()
    with pytest.raises(JobError, match="no more rows than"):
        taiwan(job(inputs="standardised"), rows=8).run()


def test_a_roster_or_schema_of_other_parties_is_refused(plain):
    setting = taiwan(job())
    with pytest.raises(JobError, match="notary is not in the roster"):
        next(setting.program(LENDER, roster=("bureau", LENDER)))
    with pytest.raises(ContractError, match="other"):
        next(setting.program(LENDER, roster=("bureau", LENDER, COORDINATOR, "other")))
    with pytest.raises(JobError, match="one feature holder"):
        next(taiwan(job(sigmoid="cubic", rows_per_ciphertext=1), partners=2).program(LENDER))


def test_only_record_holders_get_sums_opened(plain):
    program = coordinator.train(job(), Place(COORDINATOR, ("bureau", LENDER, COORDINATOR)))
    next(program)
    answers = {"alignment, kept, verdict": {LENDER: b"\x01"}, messages.BEGIN: {LENDER: messages.Begin(0, 1).to_bytes()}}
    request = program.send({})
    while request.label != QUESTION:
        request = program.send(answers.get(request.label, {}))
    with pytest.raises(RemoteProtocolError, match="lender asked"):
        program.send({LENDER: frame(b"[]")})


def test_cells_are_merged_until_each_has_enough_rows_and_thin_ones_are_counted_with_the_largest():
    setting = taiwan(job(), rows=600)
    records = setting.records["bureau"]
    amounts = np.arange(600, dtype=np.float32)
    amounts[:7] = np.nan
    records.columns[0] = amounts
    cells = Cells.of(FeatureBins("pay_0", (0,), tuple(float(edge) for edge in range(1, 600))), records, 20)
    assert cells.rows.sum() == 600
    assert cells.rows[-1] == 0
    assert cells.rows[cells.rows > 0].min() >= 20
    assert len(cells.filled) > 20
    counts = cells.counts([1] * len(cells.filled))
    assert counts[:, 1].sum() == len(cells.filled)
    with pytest.raises(ProtectionError, match="more defaults than rows"):
        cells.counts([1000] * len(cells.filled))


def test_a_bystander_is_led_through_a_new_alignment():
    group = Group({"archive": range(60), "lender": range(30, 90)})
    programs = {
        name: Place(name, ("archive", "lender", COORDINATOR)).align(ids, job(coordinator=COORDINATOR))
        for name, ids in group.ids.items()
    }
    aligned = exchange_all({**programs, COORDINATOR: stand_by(LENDER)})
    assert len(aligned["lender"]) == 30
    assert aligned["lender"].digest == aligned["archive"].digest
    assert aligned[COORDINATOR] is None


@given(st.binary(max_size=60), st.integers(0, 3))
def test_no_bytes_bring_a_reader_out_of_step(data, held_out):
    readers = [
        lambda: messages.Begin.from_bytes(data, "lender"),
        lambda: messages.read_epochs(data, "bureau"),
        lambda: messages.read_share(data, "bureau"),
        lambda: messages.goes_on(data, "lender"),
        lambda: messages.PartMessage.from_bytes(data, held_out, "bureau"),
        lambda: unframe(data, "bureau"),
    ]
    for read in readers:
        with contextlib.suppress(RemoteProtocolError):  # nothing else
            read()


@given(st.lists(st.binary(max_size=20), max_size=5))
def test_parts_come_back(parts):
    assert unframe(frame(*parts), "lender") == parts
