"""The catalogue: what a server may try on banks that are in a run, who notices, in which phase, and what the error says."""

from __future__ import annotations

from riskfed.errors import ProtectionError, RemoteProtocolError
from riskfed.protocols.frames import Frame, Kind
from riskfed.secure.protection import HEADER_BYTES
from tests.hostile.lying_server import (
    BANKS,
    NOT_SIGNED,
    NOT_THE_SUM,
    OUT_OF_STEP,
    VICTIM,
    Lie,
    answered,
    as_other_roster,
    doubled_values,
    flipped,
    for_victim,
    headed,
    header_of,
    honest,
    of_before,
    own_hello,
    parts,
    reordered,
    sum_of,
    swapped,
    to_all,
    to_victim,
    under_own_key,
    without_birch,
)

PAILLIER, MASKING = ("paillier",), ("masking",)
NOT_FROM = (RemoteProtocolError, "no hello came from birch")
ENVELOPE = (ProtectionError, "from birch does not open: it was changed on its way, or is another message")
OTHER_RUN = (ProtectionError, "belongs to another run, attempt, roster or plan")
GIVEN_ANOTHER = (ProtectionError, "was given another sum of step")

KEYS = [
    Lie("hand one bank's public keys over as another's", "hellos", parts(swapped), "hellos", NOT_SIGNED),
    Lie("put public keys of its own in a bank's place", "hellos", parts(own_hello), "hellos", NOT_SIGNED),
    Lie("replay public keys of an earlier attempt", "hellos", parts(of_before), "hellos", NOT_SIGNED),
    Lie("hold a bank's public keys back", "hellos", parts(without_birch), "hellos", NOT_FROM),
    Lie(
        "swap two banks' sealed contributions to the group key",
        "contributions",
        parts(swapped),
        "contributions",
        (ProtectionError, "contribution of birch does not open"),
    ),
    Lie(
        "put a Paillier key of its own in the place of the banks'",
        "key",
        lambda moment: {"birch": b"\0\3" + bytes(7) + b"\x70" + VICTIM.encode() + bytes(112)},
        "key",
        (ProtectionError, "'paillier key' of step 2 from ash does not open"),
        protections=PAILLIER,
        by=("birch",),
    ),
]

PLANS = [
    Lie(
        "tell one bank a smaller roster",
        "hellos",
        parts(as_other_roster),
        "hellos",
        NOT_SIGNED,
        plans=for_victim(roster=BANKS[:3]),
        by=None,
    ),
    Lie(
        "tell one bank a weaker protection",
        "hellos",
        honest,
        "hellos",
        NOT_SIGNED,
        plans=for_victim(protection="masking"),
        protections=PAILLIER,
        by=None,
    ),
    Lie(
        "tell one bank another job",
        "hellos",
        honest,
        "hellos",
        NOT_SIGNED,
        plans=for_victim(job={"kind": "horizontal_xgboost", "cut_rounds": 8}),
        by=None,
    ),
    Lie(
        "tell one bank another schema",
        "hellos",
        honest,
        "hellos",
        NOT_SIGNED,
        plans=for_victim(schema_fingerprint="1" * 64),
        by=None,
    ),
    Lie(
        "tell one bank another run or attempt",
        "hellos",
        honest,
        "hellos",
        NOT_SIGNED,
        plans=for_victim(attempt=7),
        by=None,
    ),
]

CANARY = [
    Lie("skip the canary", "canary", answered(Kind.DONE), "canary", OUT_OF_STEP),
    Lie(
        "answer the canary with another sum",
        "canary",
        to_victim(lambda moment: flipped(moment.body(), HEADER_BYTES + 8)),
        "canary",
        NOT_THE_SUM,
        protections=MASKING,
    ),
    Lie(
        "answer the canary with another sum",
        "canary",
        to_all(lambda moment: sum_of(moment, ["birch", *BANKS[1:]])),
        "canary's shares",
        NOT_THE_SUM,
        protections=PAILLIER,
        by=None,
    ),
]


def _sum_lies(noticed_in: str, protections: tuple[str, ...]) -> list[Lie]:
    """Lies about a sum; under Paillier, banks see them once they have opened it together."""

    def lie(tries: str, make) -> Lie:  # type: ignore[no-untyped-def]
        return Lie(tries, "sum 2", to_all(make), noticed_in, NOT_THE_SUM, protections=protections, by=None)

    return [
        lie("change a byte of a sum", lambda moment: flipped(moment.body(), len(moment.body()) - 77)),
        lie("put two values of a sum in each other's place", reordered),
        lie("double a sum", doubled_values),
        lie("give a bank's upload as the sum", lambda m: headed(m.questions["birch"].body, m.body())),
        lie("leave a bank out of a sum", lambda moment: sum_of(moment, BANKS[1:])),
        lie("add one bank twice in the place of another", lambda moment: sum_of(moment, [*BANKS[:3], "birch"])),
        lie("replay the sum of an earlier step", lambda m: headed(m.past["sum 1"].body(), m.body())),
        lie("replay the sum of an earlier attempt", lambda m: headed(m.earlier["sum 2"].body(), m.body())),
    ]


SUMS = [
    *_sum_lies("sum 2", MASKING),
    *_sum_lies("shares 2", PAILLIER),
    Lie(
        "give banks different sums",
        "sum 2",
        to_victim(lambda moment: sum_of(moment, [*BANKS[:3], "birch"])),
        "sum 2",
        NOT_THE_SUM,
        protections=MASKING,
    ),
    Lie(
        "give banks different sums",
        "sum 2",
        to_victim(lambda moment: sum_of(moment, [*BANKS[:3], "birch"])),
        "shares 2",
        GIVEN_ANOTHER,
        protections=PAILLIER,
        by=None,
    ),
    Lie(
        "say that a sum has fewer parts",
        "sum 2",
        to_victim(lambda moment: header_of(moment, parts=3)),
        "sum 2",
        (ProtectionError, "got the sum of 3 parts"),
    ),
    Lie(
        "send a sum of another attempt as it is",
        "sum 2",
        to_victim(lambda moment: moment.earlier["sum 2"].body()),
        "sum 2",
        OTHER_RUN,
    ),
    Lie(
        "add under a Paillier key of its own",
        "sum 2",
        to_all(under_own_key),
        "shares 2",
        NOT_THE_SUM,
        protections=PAILLIER,
        by=None,
    ),
    Lie("swap the banks' shares of opening", "shares 2", parts(swapped), "shares 2", ENVELOPE, protections=PAILLIER),
    Lie(
        "hold back a bank's share of opening",
        "shares 2",
        parts(without_birch),
        "shares 2",
        (ProtectionError, "share of birch in opening step [0-9]+ is missing"),
        protections=PAILLIER,
    ),
]

CONVERSATION = [
    Lie("answer a sum with something else", "sum 2", answered(Kind.EXCHANGE), "sum 2", OUT_OF_STEP),
    Lie("answer a sum with another plan", "sum 2", answered(Kind.PLAN), "sum 2", OUT_OF_STEP),
    Lie("answer for another step", "sum 2", answered(Kind.COMBINE, step=-2), "sum 2", OUT_OF_STEP),
    Lie(
        "give two answers to one question",
        "sum 2",
        lambda moment: {VICTIM: [moment.answers[VICTIM]] * 2},
        "sum 2",
        (RemoteProtocolError, "got 2 frames, expected the one answer"),
    ),
    Lie(
        "ask a question of its own",
        "disclosure",
        lambda moment: {VICTIM: [Frame(Kind.COMBINE, moment.answers[VICTIM].step)]},
        "disclosure",
        OUT_OF_STEP,
    ),
]

END = [
    Lie(
        "hold back a bank's hash of all sums",
        "hashes",
        parts(without_birch),
        "hashes",
        (ProtectionError, "no running hash of the sums came from birch"),
    ),
    Lie("swap the banks' hashes of all sums", "hashes", parts(swapped), "hashes", ENVELOPE),
    Lie("replay the hash of an earlier attempt", "hashes", parts(of_before), "hashes", ENVELOPE),
]

LIES = [*KEYS, *PLANS, *CANARY, *SUMS, *CONVERSATION, *END]
