"""The validation report of a vertical model says who holds what, and claims no pooled sums."""

from riskfed.reports.validation_report import validation_report
from riskfed.reports.validation_report.report_input import ReportInput
from tests.tracking.joint_models import joint_release

FACTS = {
    "roster": "lender, payments",
    "parties": "2",
    "protection": "sealed",
    "key_bits": "2048",
    "label_holder": "lender",
    "common_customers": "24278",
}


def test_the_report_says_who_saw_what() -> None:
    page = validation_report(ReportInput(joint_release(), facts=FACTS))
    assert "customers whom lender and payments have in common" in page
    assert "gradients under the label holder&#39;s Paillier key of 2048 bits" in page.replace("’", "&#39;")
    assert "neither labels nor gradients nor counts of defaults" in page
    assert "Each bank saw sums over all banks" not in page
    assert "columns of zeros and ones" in page
