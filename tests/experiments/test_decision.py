import dataclasses

import pytest

from experiments.decision import Choice, Facts, decide
from experiments.guardrails import Safety

GOOD = Facts(
    srm_p=0.5, srm=False, mixed_share=0.0, missing_weekdays=(), days=14, planned_days=14, primary="watch_s", p=0.001,
    alpha=0.05, improvement=3.0, shown="+3 [+1, +5] on 100", guardrails=[("page_ms", Safety.SAFE)],
)  # fmt: skip
HARMED, UNCLEAR = [("page_ms", Safety.HARMED)], [("page_ms", Safety.UNCLEAR)]
UNMEASURED = [("retention", Safety.UNMEASURED)]
EARLY = {"days": 8}


@pytest.mark.parametrize(
    ("change", "choice", "says"),
    [
        ({}, Choice.SHIP, "no guardrail suffers"),
        (EARLY, Choice.SHIP, "after 8 of 14 days"),
        ({"srm": True, "srm_p": 1e-6}, Choice.INVALID, "p = 1e-06"),
        ({"mixed_share": 0.03}, Choice.INVALID, "3.0% of viewers"),
        ({"guardrails": HARMED}, Choice.DO_NOT_SHIP, "makes page_ms worse"),
        (EARLY | {"guardrails": HARMED}, Choice.DO_NOT_SHIP, "makes page_ms worse"),
        ({"guardrails": UNCLEAR}, Choice.DO_NOT_SHIP, "not shown to be harmless"),
        (EARLY | {"guardrails": UNCLEAR}, Choice.KEEP_RUNNING, "page_ms may be worse"),
        ({"guardrails": UNMEASURED}, Choice.DO_NOT_SHIP, "but of retention nothing was measured"),
        (EARLY | {"guardrails": UNCLEAR + UNMEASURED}, Choice.KEEP_RUNNING, "allows and of retention nothing was measured"),
        ({"p": 0.2}, Choice.DO_NOT_SHIP, "no difference was shown"),
        (EARLY | {"p": 0.2}, Choice.KEEP_RUNNING, "no difference is certain yet"),
        ({"improvement": -3.0}, Choice.DO_NOT_SHIP, "it is worse"),
        (EARLY | {"improvement": -3.0}, Choice.DO_NOT_SHIP, "it is worse after 8 of 14 days"),
        ({"days": 5, "missing_weekdays": ("Saturday", "Sunday")}, Choice.KEEP_RUNNING, "Saturday and Sunday"),
        ({"srm": True, "guardrails": HARMED}, Choice.INVALID, "designed shares"),
        ({"missing_weekdays": ("Sunday",), "guardrails": HARMED}, Choice.DO_NOT_SHIP, "worse"),
    ],
)
def test_the_order_of_reasons(change, choice, says):
    verdict = decide(dataclasses.replace(GOOD, **change))
    assert verdict.choice is choice
    assert says in verdict.reason
