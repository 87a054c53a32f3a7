"""Sums of one party's gradients over another party's cells, under the first one's Paillier key: vertical XGBoost's cipher.

    layout       how (g, h) of rows and cells lie in plaintexts, and why nothing overflows
    owner        GradientOwner, the label holder: encrypts rows, opens cells
    summer       GradientSummer, the feature holder: multiplies ciphertexts cell by cell and packs the products
    shared_sums  fewer multiplications: features that share additions
    nth_powers   what re-randomises an answer
    messages     what goes over the wire

SecureBoost (Cheng et al. 2021, IEEE Intelligent Systems 36(6)) with (g, h) in one number and several cells in an answer's
ciphertext, as in SecureBoost+ (Chen et al. 2021), and with several rows in a row's ciphertext.

Who learns what. The feature holder sees ciphertexts of a key that it does not hold (semantically secure under the decisional
composite residuosity assumption), their number and the public bounds. The label holder learns, of every cell that it asked
for, the sums of g and h, and nothing else: what the other rows of a ciphertext left in a product is hidden by masks
(`layout`), which ciphertexts were multiplied is hidden by a fresh n-th power (`nth_powers`). Both are statistical, within
2^-60 a cell and 2^-64 an answer's ciphertext. A label holder that knows g of every row may of course draw conclusions from a
sum, and one that encrypts other numbers than gradients can ask other questions: parties follow the protocol and are curious,
as in the literature; nothing here proves what a ciphertext holds. The server sees sealed envelopes.

One core a side: a product takes two microseconds, and threads only hand Python's lock to and fro (two of them encrypted in 1.8
times the time of one, for 2.5 times the CPU). Opening, which is long powers, uses all.
"""

from riskfed.secure.gradient_cipher.layout import CipherLayout
from riskfed.secure.gradient_cipher.owner import GradientOwner
from riskfed.secure.gradient_cipher.summer import GradientSummer

__all__ = ["CipherLayout", "GradientOwner", "GradientSummer"]
