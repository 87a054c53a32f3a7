"""riskfed on Flower: the operator's blind server and the bank's courier, over the two transports between them."""
