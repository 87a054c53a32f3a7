"""The service answers every request, from a model that was the champion at that time, while its registry misbehaves."""

from pathlib import Path

import pytest

from benchmarks.serving_faults import measure_faults
from benchmarks.serving_models import taiwan_booster


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_request_fails_while_the_alias_moves_the_registry_dies_and_a_broken_model_is_promoted(
    tmp_path: Path,
) -> None:
    found = measure_faults(tmp_path, taiwan_booster(90), seconds=8, period=1.0)
    evidence = found.evidence
    assert evidence.requests > 200
    assert evidence.replayed > 2
    assert evidence.failed == 0
    assert evidence.wrong_version == 0
    assert evidence.not_audited == evidence.audited_twice == evidence.unlike_replays == 0
    assert found.unfounded == 0
    assert found.followed >= 3
    assert found.refused >= 1
    assert found.audit_lines >= evidence.requests
