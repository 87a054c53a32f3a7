"""The demo: five banks made of Taiwan's credit-card data, trained over real processes, and held against the pooled model."""
