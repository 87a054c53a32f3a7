"""Vertical logistic regression with a coordinator, over one label holder and one or more feature holders.

Yang, Liu, Chen and Tong 2019 (ACM TIST 10(2), section 2.4.2 and Table 1); Hardy et al. 2017 (arXiv:1711.10677).

    1  the coordinator, which has no records, makes a key; the others get its public part
    2  the others find their common customers and hold some out
    3  inputs: weights of evidence of each party's own bins, or standardised columns
    4  in each mini-batch, scores are added up under encryption, and the label holder makes them residuals; every party sums them with
       its own inputs for weights, masks the sums, has them opened, takes the mask off, and moves its own coefficients
    5  after each epoch the label holder has the mean loss, and says whether the descent goes on
    6  each side keeps its part of the model; the label holder measures it on held-out customers and releases what the job says

    coordinator, label_holder, feature_holder   the three party programs
    woe_counts    defaults by cell of a feature holder's grid, for its bins
    inputs        what the regression sees of a party's records
    opened        masked sums that the coordinator opens
    vectors       what is encrypted, with which bounds
    resumption    where a run goes on after a loss
    finished      the label holder's model, measured, with its fallback

| party          | learns                                                                                                             |
|----------------|--------------------------------------------------------------------------------------------------------------------|
| coordinator    | numbers that masks of 64 more bits hide; how many sums each party asks for, mini-batches, epochs                    |
| label holder   | its gradient on each mini-batch; from each feature holder one number an epoch, and the score share of held-out rows |
| feature holder | its gradient on each mini-batch; with weights of evidence, defaults in cells of its own grid; the number of epochs  |
| server         | sizes of messages, the mean loss of each epoch, the release                                                         |

Parties are taken to follow the protocol, and the coordinator not to work together with one of them: with its key a feature holder would
read the residuals, so the labels, and the label holder the others' scores. A party that chooses other weights than its inputs could have
a single residual opened: nobody can see it, for what is opened is masked. The gradients of many mini-batches tell a feature holder as
many linear equations in the residuals. docs/vertical-logistic.md counts them.
"""
