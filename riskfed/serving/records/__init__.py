"""What the scoring service keeps: the audit log, and the answers for whoever asks again."""
