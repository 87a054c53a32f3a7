"""`riskfed serve` as it is never meant to be: every logger tells everything, and a list as a value meets a defect that quotes it.

For `test_no_personal_data`, which runs it as a process.
"""

import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from riskfed.serving import server
from riskfed.serving.configuration import ServingSettings
from riskfed.serving.engine.applicant import ApplicantForm

_configure, _encode = server.configure_logging, ApplicantForm.encode


def configure_everything() -> None:
    _configure()
    logging.basicConfig(level=logging.DEBUG)
    logging.getLogger("riskfed").setLevel(logging.DEBUG)


def encode_badly(form: ApplicantForm, applicant: Mapping[str, Any]) -> np.ndarray:
    if isinstance(applicant.get("free"), list):
        raise TypeError(f"cannot convert {applicant}")
    return _encode(form, applicant)


server.configure_logging = configure_everything
ApplicantForm.encode = encode_badly  # type: ignore[method-assign]
server.serve(ServingSettings.read(Path(sys.argv[1])))
