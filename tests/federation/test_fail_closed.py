"""No configuration, missing package or exception leads to plaintext in silence: each way is tried, and no program may start."""

import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from gmpy2 import mpz

import riskfed
from riskfed.datasets import iid_split, load_taiwan, taiwan_schema
from riskfed.errors import PlanError, ProtectionError, RiskfedError
from riskfed.protocols import opening
from riskfed.protocols.local import LocalSwitchboard
from riskfed.protocols.program import Sum
from riskfed.protocols.switchboard import Switchboard
from riskfed.secure import canary, integrity, masking, paillier_key
from riskfed.secure.obfuscator import ObfuscatorTable
from riskfed.secure.protection import Header
from riskfed.secure.slots import slot_widths, words_for, write_slots
from tests.helpers import BANKS, parties_for, plan_for


def run_and_catch(plan):
    """Run a program that would upload records; the error, the names of programs that started, and all that the server saw."""
    started, wire = [], []

    def program(name):
        started.append(name)
        yield Sum(np.full(100, 2**40, dtype=np.int64), 1 << 50)

    switchboard = Switchboard(plan, transport="local", tap=lambda *entry: wire.append(entry[-1]))
    parties = parties_for(plan, {name: partial(program, name) for name in BANKS})
    with pytest.raises(RiskfedError) as caught:
        LocalSwitchboard(switchboard, parties, plan.roster).run()
    assert started == []
    return caught.value, wire


@pytest.mark.parametrize("protection", ["none", "plain", "", "Masking", None])
def test_there_is_no_unprotected_choice(protection):
    banks = iid_split(load_taiwan().iloc[:90], 3, seed=0)
    with pytest.raises(PlanError, match="protection"):
        riskfed.simulate(banks, taiwan_schema(), riskfed.HorizontalXgboost(), protection=protection)


@pytest.mark.parametrize("n_banks", [1, 2])
def test_fewer_than_three_banks(n_banks):
    banks = iid_split(load_taiwan().iloc[:90], n_banks, seed=0)
    with pytest.raises(PlanError, match=f"{n_banks} banks, at least 3 are needed"):
        riskfed.simulate(banks, taiwan_schema(), riskfed.HorizontalXgboost())


def test_a_short_key():
    error, _ = run_and_catch(plan_for(protection="paillier", key_bits=1024))
    assert isinstance(error, ProtectionError)
    assert "2048" in str(error)


def test_a_bank_that_makes_a_short_key_is_refused_by_the_others(monkeypatch):
    monkeypatch.setattr(paillier_key, "MINIMUM_KEY_BITS", 1024)
    weak = paillier_key.generate_paillier_key(1024)
    monkeypatch.setattr(paillier_key, "MINIMUM_KEY_BITS", 2048)
    monkeypatch.setattr(paillier_key, "generate_paillier_key", lambda bits: weak)
    monkeypatch.setattr(opening, "modulus_of", lambda plan, public: None)  # the maker's own checks are off
    monkeypatch.setattr(opening, "PaillierProtection", lambda keys, key: None)
    error, _ = run_and_catch(plan_for(protection="paillier", key_bits=2048))
    assert isinstance(error, ProtectionError)
    assert "1024 bits" in str(error)


def laid_out(self, values, step, bound):
    """Header and slots, as they are before any mask."""
    widths = integrity.tagged_widths(slot_widths(bound, len(values)))
    words = np.empty(words_for(widths), dtype=np.uint64)
    write_slots(integrity.append_tags(values, self._keys, step), widths, words)
    return Header("masking", 1, len(words), step, len(values), self._keys.context.digest), words


def plain_masking(self, values, step, bound):
    header, words = laid_out(self, values, step, bound)
    return header.to_bytes() + words.astype("<u8").tobytes()


@pytest.mark.parametrize("encoding", ["slots", "<i8", ">i8", "<f8"])
def test_protection_that_does_nothing_is_found_by_the_bank(monkeypatch, encoding):
    def plain(self, values, step, bound):
        if encoding == "slots":
            return plain_masking(self, values, step, bound)
        tagged = integrity.append_tags(values, self._keys, step)
        header = Header("masking", 1, len(tagged), step, len(values), self._keys.context.digest)
        return header.to_bytes() + tagged.astype(encoding).tobytes()

    monkeypatch.setattr(masking.MaskingProtection, "protect", plain)
    error, wire = run_and_catch(plan_for())
    assert isinstance(error, ProtectionError)
    uploads = [data for data in wire if len(data) > 4096]
    assert uploads == []  # not even the canary left the bank


def test_protection_that_does_nothing_is_found_by_the_server_too(monkeypatch):
    """A bank whose own checks are broken as well."""
    monkeypatch.setattr(masking.MaskingProtection, "protect", plain_masking)

    class Blind:
        CANARY_BOUND = canary.CANARY_BOUND
        canary_values = staticmethod(canary.canary_values)
        check_canary_sum = staticmethod(lambda *_: None)
        check_upload = staticmethod(lambda *_, **__: None)
        plaintext_on_wire = staticmethod(lambda *_: False)

    monkeypatch.setattr(opening, "canary", Blind)
    error, _ = run_and_catch(plan_for())
    assert "does not protect its uploads" in str(error)


def test_a_constant_mask_is_found_by_the_server(monkeypatch):
    """Bytes that look random, the same at every bank: no randomness at all."""
    noise = np.random.default_rng(0).integers(-(2**62), 2**62, 2000)

    def constant(self, values, step, bound):
        header, words = laid_out(self, values, step, bound)
        return header.to_bytes() + noise[: len(words)].astype("<i8").tobytes()

    monkeypatch.setattr(masking.MaskingProtection, "protect", constant)
    error, _ = run_and_catch(plan_for())
    assert "no randomness" in str(error)


def test_paillier_without_obfuscation_is_found(monkeypatch):
    monkeypatch.setattr(paillier_key, "MINIMUM_KEY_BITS", 1024)
    monkeypatch.setattr(ObfuscatorTable, "draw", lambda self, count: [mpz(1)] * count)
    error, _ = run_and_catch(plan_for(protection="paillier"))
    assert isinstance(error, ProtectionError)


@pytest.mark.parametrize("cause", [MemoryError, RuntimeError, OSError])
def test_an_exception_inside_protection_ends_the_run(monkeypatch, cause):
    def broken(*_):
        raise cause("no entropy")

    monkeypatch.setattr(masking.MaskingProtection, "_encrypt", broken)
    started, wire = [], []
    plan = plan_for()
    switchboard = Switchboard(plan, transport="local", tap=lambda *entry: wire.append(entry[-1]))
    parties = parties_for(plan, {name: partial(started.append, name) for name in BANKS})
    with pytest.raises(cause):
        LocalSwitchboard(switchboard, parties, plan.roster).run()
    assert started == []
    assert max(map(len, wire)) < 4096


def test_a_sum_that_is_not_the_banks_is_found_before_records_flow(monkeypatch):
    monkeypatch.setattr(masking.MaskingCombiner, "combine", lambda self, parts: parts[0])
    error, _ = run_and_catch(plan_for())
    assert isinstance(error, ProtectionError)


@pytest.mark.parametrize("package", ["phe", "gmpy2", "cryptography"])
def test_a_missing_package_stops_everything_by_name(package):
    program = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "import riskfed\n"
        "riskfed.simulate({}, None, riskfed.HorizontalXgboost())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode != 0
    assert package in done.stderr.splitlines()[-1]
