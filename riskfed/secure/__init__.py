"""Protection of sums over banks that a keyless, blind server computes.

    keys         identities, contexts, and the keys of a run          handshake   how the banks agree on them
    protection   the one interface, and the header                    masking     fast: masks that cancel, and a pad
    integrity    tags that prove the sum                              paillier    homomorphic encryption, packed
    sealed       envelopes between banks                              canary      checks before the first real upload

For vertical jobs: `gradient_cipher` (gradients of rows, encrypted, which others sum by cell), `encrypted_vectors` (weighted sums of
encrypted values) and `private_set_intersection`.

The threat model of each scheme stands at the top of its file.
"""

from riskfed.secure.canary import canary_values, check_canary_sum, check_upload, plaintext_on_wire
from riskfed.secure.handshake import Handshake, handshake_in_process
from riskfed.secure.keys import Context, Identity, SessionKeys, fingerprint
from riskfed.secure.masking import MaskingCombiner, MaskingProtection
from riskfed.secure.paillier import PaillierCombiner, PaillierProtection
from riskfed.secure.paillier_key import (
    PaillierKey,
    generate_paillier_key,
    parse_private,
    parse_public,
    serialize_private,
    serialize_public,
)
from riskfed.secure.protection import Combiner, Header, Protection, combiner_for
from riskfed.secure.sealed import open_from, open_sealed, seal, seal_to_all

__all__ = [
    "Combiner",
    "Context",
    "Handshake",
    "Header",
    "Identity",
    "MaskingCombiner",
    "MaskingProtection",
    "PaillierCombiner",
    "PaillierKey",
    "PaillierProtection",
    "Protection",
    "SessionKeys",
    "canary_values",
    "check_canary_sum",
    "check_upload",
    "combiner_for",
    "fingerprint",
    "generate_paillier_key",
    "handshake_in_process",
    "open_from",
    "open_sealed",
    "parse_private",
    "parse_public",
    "plaintext_on_wire",
    "seal",
    "seal_to_all",
    "serialize_private",
    "serialize_public",
]
