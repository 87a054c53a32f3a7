"""Measuring a model from pooled counts and sums: discrimination, calibration, stability, treatment of groups; and the verdict. No I/O."""
