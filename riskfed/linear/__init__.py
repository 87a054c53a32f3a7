"""Linear models over columns of several parties, trained on sums that come in whole numbers. Numerics: arrays in, arrays out.

sigmoids    polynomials that stand for the sigmoid where it cannot be computed
descent     one party's coefficients, from whole-number sums of its gradient; inputs and scores in fixed point
encoders    the small networks of transfer learning
reference, transfer_reference   the same in plain on the joined table
"""
