"""Federated transfer learning: a bank with labels teaches an organisation that has other columns, few common customers and no labels to
score its own (Liu, Kang, Xing, Chen, Yang 2020, IEEE Intelligent Systems 35(4)).

    label_holder        the program of the party with the labels
    target              the program of the party whose customers are to be scored; it keeps the model
    customers           who teaches, who is common, who is held out
    encrypted_descent   the steps, the same on both sides: each party has a key, and sums what the other encrypted
    messages            what else the parties tell each other
    outcome             what they keep

Who learns what, and what the gradients tell: docs/transfer.md. The numerics: `riskfed.linear.encoders`.
"""
