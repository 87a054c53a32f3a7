"""Vertical XGBoost (SecureBoost, Cheng et al. 2021, IEEE Intelligent Systems 36(6)), exact: parties hold other columns of one customer.

    label_holder    the program of the party with the labels, and the key
    feature_holder  the program of every other party
    aligned         records in the common order; holdout: which of them are held out
    hidden_columns  a feature holder's bins, behind a secret order of its columns
    messages        what the label holder orders, and what feature holders answer; node_numbers: which rows are meant
    resumption      where a run goes on after a loss
    finished        the label holder's model, measured, with its fallback
    joined          both sides' parts put together again, to compare with XGBoost on the joined table

How a tree grows, who learns what, and the rule for ties: docs/vertical.md.
"""
