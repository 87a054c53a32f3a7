"""One model, ready to score applicants: encoding, PD, points, reasons, what would change them. Knows nothing of HTTP."""
