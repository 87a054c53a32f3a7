"""The handshake, against a server that swaps, replays, drops and changes what it forwards."""

import itertools

import pytest

from riskfed.errors import ConfigurationError, LocalProtocolError, PlanError, ProtectionError, RemoteProtocolError
from riskfed.secure import Handshake, Identity
from tests.secure.banks import ROSTER, context_of, session

IDENTITIES = {name: Identity.generate() for name in ROSTER}
PINNED = {name: identity.public for name, identity in IDENTITIES.items()}
FIELDS = {"magic": 0, "ephemeral key": 4, "nonce": 36, "commitment": 68, "signature": 100}


def sides(attempt: int = 0) -> dict[str, Handshake]:
    context = context_of(attempt=attempt)
    return {name: Handshake(IDENTITIES[name], name, PINNED, context) for name in ROSTER}


def contributions_to(name: str, sent: dict[str, dict[str, bytes]]) -> dict[str, bytes]:
    return {sender: sealed[name] for sender, sealed in sent.items() if sender != name}


def flipped(message: bytes, at: int) -> bytes:
    return message[:at] + bytes([message[at] ^ 1]) + message[at + 1 :]


def test_all_banks_end_with_the_same_group_key_and_pairwise_equal_keys():
    keys = session(context_of(roster=("a", "b", "c", "d", "e")))
    assert len({k.group_key for k in keys.values()}) == 1
    for a, b in itertools.combinations(keys, 2):
        assert keys[a].pair_keys[b] == keys[b].pair_keys[a]
    assert len({key for k in keys.values() for key in k.pair_keys.values()}) == 10


def test_two_handshakes_of_the_same_banks_share_no_key():
    first, second = session()["alpha"], session()["alpha"]
    assert first.group_key != second.group_key
    assert not set(first.pair_keys.values()) & set(second.pair_keys.values())


def test_an_impostor_is_named():
    parties = sides()
    hellos = {name: side.hello() for name, side in parties.items()}
    impostor_pins = PINNED | {"beta": (fake := Identity.generate()).public}
    hellos["beta"] = Handshake(fake, "beta", impostor_pins, context_of()).hello()
    with pytest.raises(ProtectionError, match="hello of beta is not signed by its pinned key"):
        parties["alpha"].receive_hellos(hellos)


def test_swapped_hellos_are_found():
    parties = sides()
    hellos = {name: side.hello() for name, side in parties.items()}
    hellos["beta"], hellos["gamma"] = hellos["gamma"], hellos["beta"]
    with pytest.raises(ProtectionError, match="hello of beta"):
        parties["alpha"].receive_hellos(hellos)


def test_a_hello_replayed_from_another_attempt_is_found():
    old = {name: side.hello() for name, side in sides(attempt=0).items()}
    parties = sides(attempt=1)
    hellos = {name: side.hello() for name, side in parties.items()}
    with pytest.raises(ProtectionError, match="hello of beta is not signed"):
        parties["alpha"].receive_hellos(hellos | {"beta": old["beta"]})


def test_a_hello_replayed_within_an_attempt_ends_the_handshake():
    """Its signature is right, but beta has other keys by now: what alpha seals to the old key is of no use."""
    old = sides()["beta"].hello()
    parties = sides()
    hellos = {name: side.hello() for name, side in parties.items()}
    for name, side in parties.items():
        side.receive_hellos(hellos if name == "beta" else hellos | {"beta": old})
    sent = {name: side.contributions() for name, side in parties.items()}
    for name in ROSTER:
        with pytest.raises(ProtectionError, match="contribution of .* does not open"):
            parties[name].receive_contributions(contributions_to(name, sent))


def test_banks_that_were_shown_different_hellos_of_a_third_find_out():
    """Gamma is dishonest and sends two hellos, with the server's help."""
    parties = sides()
    other_gamma = sides()["gamma"]
    hellos = {name: side.hello() for name, side in parties.items()}
    hellos_for_beta = hellos | {"gamma": other_gamma.hello()}
    parties["alpha"].receive_hellos(hellos)
    parties["beta"].receive_hellos(hellos_for_beta)
    parties["gamma"].receive_hellos(hellos)
    other_gamma.receive_hellos(hellos_for_beta)
    sent = {name: parties[name].contributions() for name in ("alpha", "beta", "gamma")}
    sent_to_beta = {"alpha": sent["alpha"]["beta"], "gamma": other_gamma.contributions()["beta"]}
    with pytest.raises(ProtectionError, match="contribution of beta does not open"):
        parties["alpha"].receive_contributions(contributions_to("alpha", sent))
    with pytest.raises(ProtectionError, match="contribution of alpha does not open"):
        parties["beta"].receive_contributions(sent_to_beta)


def test_a_contribution_that_was_not_committed_to_is_found():
    """Gamma sends beta another contribution than alpha, so that their group keys would differ."""
    parties = sides()
    hellos = {name: side.hello() for name, side in parties.items()}
    for side in parties.values():
        side.receive_hellos(hellos)
    parties["gamma"]._contribution = bytes(32)
    sent = {name: side.contributions() for name, side in parties.items()}
    with pytest.raises(ProtectionError, match="contribution of gamma is not the one that its hello commits to"):
        parties["beta"].receive_contributions(contributions_to("beta", sent))


@pytest.mark.parametrize("field", FIELDS)
def test_a_changed_hello_is_found_wherever_it_was_changed(field):
    parties = sides()
    hellos = {name: side.hello() for name, side in parties.items()}
    with pytest.raises((ProtectionError, RemoteProtocolError), match="hello of gamma"):
        parties["alpha"].receive_hellos(hellos | {"gamma": flipped(hellos["gamma"], FIELDS[field])})


@pytest.mark.parametrize("length", [0, 163, 165])
def test_a_hello_of_another_length_is_malformed(length):
    parties = sides()
    hellos = {name: side.hello() for name, side in parties.items()}
    with pytest.raises(RemoteProtocolError, match=f"hello of gamma has {length} bytes"):
        parties["alpha"].receive_hellos(hellos | {"gamma": (hellos["gamma"] * 2)[:length]})


def test_a_missing_bank_a_stranger_and_a_changed_own_hello_are_named():
    for change, message in [
        (lambda hellos: {n: h for n, h in hellos.items() if n != "gamma"}, "no hello came from gamma"),
        (lambda hellos: hellos | {"delta": hellos["gamma"]}, "came from delta, outside of the roster"),
        (lambda hellos: hellos | {"alpha": hellos["beta"]}, "did not send"),
    ]:
        parties = sides()
        hellos = {name: side.hello() for name, side in parties.items()}
        with pytest.raises(RemoteProtocolError, match=message):
            parties["alpha"].receive_hellos(change(hellos))


def test_an_ephemeral_key_of_small_order_is_refused():
    """Signed by a dishonest gamma, the zero point would make the pair key known to everybody."""
    parties = sides()
    hellos = {name: side.hello() for name, side in parties.items()}
    unsigned = hellos["gamma"][:4] + bytes(32) + hellos["gamma"][36:100]
    signature = IDENTITIES["gamma"].sign(parties["gamma"]._signed("gamma", unsigned))
    with pytest.raises(ProtectionError, match="small order"):
        parties["alpha"].receive_hellos(hellos | {"gamma": unsigned + signature})


def test_a_reflected_ephemeral_key_is_refused():
    """Gamma, dishonest, sends alpha's ephemeral key as its own."""
    parties = sides()
    hellos = {name: side.hello() for name, side in parties.items()}
    unsigned = hellos["gamma"][:4] + hellos["alpha"][4:36] + hellos["gamma"][36:100]
    signature = IDENTITIES["gamma"].sign(parties["gamma"]._signed("gamma", unsigned))
    with pytest.raises(ProtectionError, match="same ephemeral key"):
        parties["beta"].receive_hellos(hellos | {"gamma": unsigned + signature})


def test_changed_and_missing_contributions_are_named():
    for change, error, message in [
        (
            lambda sent: sent | {"beta": flipped(sent["beta"], 40)},
            ProtectionError,
            "contribution of beta does not open",
        ),
        (lambda sent: sent | {"beta": sent["gamma"]}, ProtectionError, "contribution of beta does not open"),
        (lambda sent: {"gamma": sent["gamma"]}, RemoteProtocolError, "no contribution came from beta"),
    ]:
        parties = sides()
        hellos = {name: side.hello() for name, side in parties.items()}
        for side in parties.values():
            side.receive_hellos(hellos)
        sent = {name: side.contributions() for name, side in parties.items()}
        with pytest.raises(error, match=message):
            parties["alpha"].receive_contributions(change(contributions_to("alpha", sent)))


def test_steps_out_of_order_and_after_a_failure_are_refused():
    alpha = sides()["alpha"]
    with pytest.raises(LocalProtocolError, match="START"):
        alpha.contributions()
    alpha = sides()["alpha"]
    alpha.hello()
    with pytest.raises(RemoteProtocolError):
        alpha.receive_hellos({})
    with pytest.raises(LocalProtocolError, match="FAILED"):
        alpha.receive_hellos({})


def test_secrets_are_dropped_when_they_are_no_longer_needed():
    parties = sides()
    hellos = {name: side.hello() for name, side in parties.items()}
    for side in parties.values():
        side.receive_hellos(hellos)
        assert side._ephemeral is None
    sent = {name: side.contributions() for name, side in parties.items()}
    for name, side in parties.items():
        side.receive_contributions(contributions_to(name, sent))
        assert not side._contribution
        assert not side._pair_keys


def test_a_handshake_needs_a_seat_and_all_pinned_keys():
    with pytest.raises(PlanError, match="delta is not in the roster"):
        Handshake(IDENTITIES["alpha"], "delta", PINNED, context_of())
    with pytest.raises(ConfigurationError, match="pinned for gamma"):
        Handshake(IDENTITIES["alpha"], "alpha", {n: PINNED[n] for n in ("alpha", "beta")}, context_of())
    with pytest.raises(ConfigurationError, match="not that of its own identity"):
        Handshake(IDENTITIES["beta"], "alpha", PINNED, context_of())
