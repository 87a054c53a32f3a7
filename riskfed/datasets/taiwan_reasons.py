"""Codes and texts of adverse reasons for the Taiwan data, in English and in Chinese as written in Taiwan.

A reason says what counted against the applicant, not in which direction: of an amount, both too little and too much can.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class ReasonText(NamedTuple):
    """One feature's reason."""

    code: str
    en: str
    zh_hant: str


_MONTHS: Final = (
    ("09", "the most recent month (September)", "最近一個月（9月）"),
    ("08", "the second most recent month (August)", "前第二個月（8月）"),
    ("07", "the third most recent month (July)", "前第三個月（7月）"),
    ("06", "the fourth most recent month (June)", "前第四個月（6月）"),
    ("05", "the fifth most recent month (May)", "前第五個月（5月）"),
    ("04", "the sixth most recent month (April)", "前第六個月（4月）"),
)

ACCOUNT_REASONS: Final = {
    "limit_bal": ReasonText("LIMIT", "The credit limit in use is unfavourable", "目前的信用額度不利於評分"),
    "sex": ReasonText("SEX", "Sex as recorded on the account", "帳戶所載之性別"),
    "education": ReasonText("EDU", "The recorded level of education is unfavourable", "所載教育程度不利於評分"),
    "marriage": ReasonText("MARITAL", "Marital status as recorded on the account", "帳戶所載之婚姻狀況"),
    "age": ReasonText("AGE", "Age as recorded on the account", "帳戶所載之年齡"),
}
STATUS_REASONS: Final = tuple(
    ReasonText(f"STATUS-{number}", f"Payment was late in {en}", f"{zh}繳款逾期") for number, en, zh in _MONTHS
)
BILL_REASONS: Final = tuple(
    ReasonText(f"BILL-{number}", f"The statement balance of {en} is unfavourable", f"{zh}帳單金額不利於評分")
    for number, en, zh in _MONTHS
)
PAYMENT_REASONS: Final = tuple(
    ReasonText(f"PAID-{number}", f"The amount paid in {en} is unfavourable", f"{zh}繳款金額不利於評分")
    for number, en, zh in _MONTHS
)
