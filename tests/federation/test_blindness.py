"""What the server holds and sees: every byte of a run, and every object that it can reach."""

import base64
import gc
import inspect

import numpy as np
import phe
import pytest
from scipy.stats import chi2, pearsonr

import riskfed
from riskfed.datasets import iid_split, load_taiwan, taiwan_schema
from riskfed.protocols.frames import Kind, decode_batch
from riskfed.protocols.switchboard import Switchboard
from riskfed.secure import handshake, keys, paillier_key
from riskfed.secure.masking import MaskingCombiner
from riskfed.secure.paillier import PaillierCombiner
from riskfed.secure.protection import HEADER_BYTES
from tests.helpers import BANKS, parties_for, plan_for

JOB = riskfed.HorizontalXgboost(n_estimators=2, max_depth=3, max_bin=16)


@pytest.fixture(autouse=True)
def _short_keys(monkeypatch):
    monkeypatch.setattr(paillier_key, "MINIMUM_KEY_BITS", 1024)


@pytest.fixture
def secrets_of_the_run(monkeypatch):
    """Collects every secret that a bank derives while a run goes on."""
    found = []

    def keep(module, name, take=lambda result: [result]):
        real = getattr(module, name)

        def recording(*args, **kwargs):
            result = real(*args, **kwargs)
            found.extend(take(result))
            return result

        monkeypatch.setattr(module, name, recording)

    keep(handshake, "hkdf")  # pair keys and group keys
    keep(keys, "hkdf")  # masks', pads', tags' and envelopes' keys, step by step
    keep(paillier_key, "_generate_prime", lambda pair: [int(pair[0]).to_bytes(64, "big")])
    real = handshake.Handshake.contributions

    def contributions(self):
        found.append(self._contribution)
        return real(self)

    monkeypatch.setattr(handshake.Handshake, "contributions", contributions)
    return found


def seen_by_the_server(result):
    """All bytes, as they travel and with compressed frames expanded."""
    bodies = [frame.body for message in result.transcript for frame in decode_batch(message.data)]
    return b"\0".join([*(message.data for message in result.transcript), *bodies])


def readings(secret):
    yield secret
    yield secret[::-1]
    yield secret.hex().encode()
    yield base64.b64encode(secret)[:-4]
    yield str(int.from_bytes(secret, "big")).encode()


@pytest.mark.parametrize("protection", ["masking", "paillier"])
def test_no_secret_crosses_the_server(protection, secrets_of_the_run):
    banks = iid_split(load_taiwan().iloc[:600], 3, seed=0)
    result = riskfed.simulate(banks, taiwan_schema(), JOB, protection=protection, key_bits=1024)
    seen = seen_by_the_server(result)
    assert len(secrets_of_the_run) > 50
    assert not [secret for secret in secrets_of_the_run if any(reading in seen for reading in readings(secret))]


@pytest.mark.parametrize("protection", ["masking", "paillier"])
def test_no_value_of_a_bank_crosses_the_server(protection, monkeypatch):
    """The histograms and counts themselves, bank by bank and pooled, are not to be found in any byte."""
    from riskfed.protocols import opening
    from riskfed.secure.canary import plaintext_on_wire

    sums = []
    real = opening.sum_over_banks

    def recording(seat, protected, values, bound):
        pooled = yield from real(seat, protected, values, bound)
        sums.extend([values, pooled])
        return pooled

    monkeypatch.setattr("riskfed.protocols.party.sum_over_banks", recording)
    banks = iid_split(load_taiwan().iloc[:600], 3, seed=0)
    result = riskfed.simulate(banks, taiwan_schema(), JOB, protection=protection, key_bits=1024)
    assert len(sums) > 40
    running = [m.data for m in result.transcript if m.round > 5 and decode_batch(m.data)[-1].kind is Kind.COMBINE]
    wire = b"".join(running)
    large = [values[telling(values)][:40] for values in sums]
    assert sum(len(values) for values in large) > 500
    assert not any(plaintext_on_wire(values, wire) for values in large if len(values))


def telling(values):
    """Values of at least five different bytes, which do not turn up by chance, in a header for one."""
    octets = np.sort(values.astype("<i8").view(np.uint8).reshape(-1, 8), axis=1)
    return (np.diff(octets, axis=1) > 0).sum(axis=1) >= 4


def reachable(root, limit=200_000):
    """Every object that can be reached from `root` without going through modules, classes or functions' globals."""
    seen, todo = {}, [root]
    while todo and len(seen) < limit:
        thing = todo.pop()
        if id(thing) in seen or inspect.ismodule(thing) or inspect.isclass(thing) or inspect.isfunction(thing):
            continue
        seen[id(thing)] = thing
        todo += gc.get_referents(thing)
    return seen.values()


@pytest.mark.parametrize("protection", ["masking", "paillier"])
def test_no_key_is_within_the_servers_reach(protection):
    from tests.protocols.test_switchboard import opened, programs

    plan = plan_for(protection=protection)
    switchboard, _ = opened(plan, parties_for(plan, programs()))
    private = (keys.SessionKeys, keys.Identity, paillier_key.PaillierKey, phe.PaillierPrivateKey)
    assert not [thing for thing in reachable(switchboard) if isinstance(thing, private)]
    assert isinstance(switchboard, Switchboard)


def test_adding_takes_no_key():
    assert list(inspect.signature(MaskingCombiner).parameters) == []
    assert list(inspect.signature(PaillierCombiner).parameters) == ["public_key"]


def uploads(frame, protection, seed=0):
    """bank -> what it uploaded in each step after the opening."""
    result = riskfed.simulate(
        iid_split(frame, 3, seed=seed), taiwan_schema(), JOB, protection=protection, key_bits=1024
    )
    found: dict[str, list[bytes]] = {}
    for message in result.transcript:
        frame_ = decode_batch(message.data)[-1]
        if message.direction == "received" and frame_.kind is Kind.COMBINE and message.round > 5:
            found.setdefault(message.bank, []).append(frame_.body[HEADER_BYTES:])
    return found


def p_value_of_uniform_bytes(data):
    counts = np.bincount(np.frombuffer(data, dtype=np.uint8), minlength=256)
    expected = counts.sum() / 256
    return float(chi2.sf(((counts - expected) ** 2 / expected).sum(), 255))


@pytest.mark.parametrize("protection", ["masking", "paillier"])
def test_two_runs_on_the_same_data_look_independent(protection):
    frame = load_taiwan().iloc[:600]
    first, second = uploads(frame, protection), uploads(frame, protection)
    assert set(first) == set(second) == {"bank_0", "bank_1", "bank_2"}
    for bank, bodies in first.items():
        one, other = b"".join(bodies), b"".join(second[bank])
        assert len(one) == len(other) > 20_000
        a, b = np.frombuffer(one, np.uint8), np.frombuffer(other, np.uint8)
        if protection == "paillier":  # the leading bytes of a ciphertext are below those of n^2: look at the rest
            a, b = (x.reshape(-1, 256)[:, 8:].ravel() for x in (a, b))
        for data in (a, b, a ^ b, a - b):
            assert p_value_of_uniform_bytes(data.tobytes()) > 1e-6
        assert abs(pearsonr(a.astype(float), b.astype(float)).statistic) < 6 / np.sqrt(len(a))
        assert (a == b).mean() < 2 / 256


def test_the_statistical_test_can_fail():
    assert p_value_of_uniform_bytes(np.arange(5000, dtype="<i8").tobytes()) < 1e-6


def test_an_upload_opens_in_no_other_run():
    from riskfed.errors import ProtectionError
    from tests.protocols.test_switchboard import opened, programs

    for change in ({"run": "another"}, {"attempt": 2}, {"job": riskfed.HorizontalXgboost(gamma=1)}):
        plan, other_plan = plan_for(), plan_for(**change)
        parties, others = parties_for(plan, programs()), parties_for(other_plan, programs())
        switchboard, batches = opened(plan, parties)
        opened(other_plan, others)
        answers = switchboard.round(batches)
        with pytest.raises(ProtectionError, match="another run, attempt, roster or plan"):
            others[BANKS[0]].receive(answers[BANKS[0]])
