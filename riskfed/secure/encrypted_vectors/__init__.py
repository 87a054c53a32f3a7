"""Linear algebra on encrypted integers: sums of one party's weights times another party's values, under a third's Paillier key.

    layout      how values and sums lie in plaintexts, why nothing overflows, and how masks hide
    holder      VectorKey, the key holder: opens masked sums, and may encrypt values of its own
    encryptor   VectorEncryptor, anybody with the public key: encrypts values, reads others' vectors
    vector      EncryptedVector, EncryptedPowers, MaskedSums: what is computed without the key
    products    products of powers mod n^2
    messages    what goes over the wire

The exchange of encrypted intermediate results and masked gradients of Hardy et al. 2017 (arXiv:1711.10677) and of Yang, Liu, Chen and
Tong 2019 (ACM TIST 10(2), section 2.4.2), with several rows in a row's ciphertext and several sums in a question's.

    encryptor --[[v]]--> summer --masked [[sums]]--> key holder --masked sums--> summer

At 2048 bits, one core, microseconds of CPU (batches of 2,048 rows, 12 columns of weights of 24 bits; k rows in a ciphertext):

    a row: encrypt, or send back          440 (k = 1)    120 (k = 4)
    a row and column, 6 values            2.7            4.8
    a row and column, all different       17             22
    a row, degree 3: encrypt; polynomial  1640; 420 to 880

Who learns what, of parties that follow the protocol:

* The **encryptor** learns nothing. If the summer sends a vector back to it (`plus`, `to_bytes`), every ciphertext has a fresh n-th
  power: under the decisional composite residuosity assumption and that of factoring (`gradient_cipher.nth_powers`) it cannot tell
  what was added. It may be the key holder, if it gets no vectors back.
* The **summer** sees ciphertexts of a key that it does not hold, and learns its m weighted sums. The fields where other rows met its
  weights are opened by the key holder and not handed out.
* The **key holder** learns how many sums were asked for. Every field that it opens has a mask of its own, which hides its content
  within 2^-63; the n-th powers of a question are uniform within 2^-64. It must not be given the vectors themselves.

Not covered. A summer decides what it asks: a weight of one on a single row asks for that row's value. The key holder cannot see it,
for the same masks, so who encrypts must trust the summer's program, and rules on batches (least sizes) are for the protocols above.
Nothing proves what a ciphertext holds: an encryptor of values beyond the bound spoils sums, and can make fields run into each other.
Summer and key holder together read the values; encryptor and key holder together what was added to a vector that was sent back, but
not the weights.
"""

from riskfed.secure.encrypted_vectors.encryptor import VectorEncryptor
from riskfed.secure.encrypted_vectors.holder import VectorKey
from riskfed.secure.encrypted_vectors.layout import VectorLayout
from riskfed.secure.encrypted_vectors.vector import EncryptedPowers, EncryptedVector, MaskedSums

__all__ = ["EncryptedPowers", "EncryptedVector", "MaskedSums", "VectorEncryptor", "VectorKey", "VectorLayout"]
