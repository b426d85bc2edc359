"""What the verdict strip shows: the outcome of each variant's last answer against the reference's."""

from __future__ import annotations

from playground.compare import verdict
from playground.compare.session import Session
from playground.compare.turns import Turn
from playground.web.values import inert

WORDS = {
    "empty": "The verdict appears here: what the variant gains in size, memory and speed, and where the texts part.",
    "running": "Running. The verdict follows when every pane is done.",
    "none": "No verdict: it needs an answer of the reference and of at least one variant.",
}


def value(session: Session, state: str = "none") -> str:
    """The strip's value: outcomes of the panes' last turns, or one quiet sentence."""
    with session.lock:
        turns = [session.panes[slot].turns[-1] if session.panes[slot].turns else None for slot in session.shown]
    if turns[0] is None or state == "running":
        return inert({"words": WORDS["running" if state == "running" else "empty"]})
    there = [turn for turn in turns if turn]
    rows = []
    for found, turn in zip(
        verdict.verdict([turn.result for turn in there]),
        [turn for turn in there[1:] if turn.result.tokens],
        strict=False,
    ):
        caveats = list(found.caveats)
        if turn.ask.sampling != there[0].ask.sampling:
            caveats.append("made with other settings than the reference")
        rows.append(
            {
                "headline": found.headline,
                "detail": found.detail,
                "explanation": found.explanation,
                "caveats": caveats,
                "size": found.size_ratio,
                "memory": found.memory_ratio,
                "decode": found.decode_ratio,
                "interval": found.decode_interval,
                "divergence": _divergence(there[0], turn),
            }
        )
    return inert({"outcomes": rows, "words": WORDS["none"], "run": session.run_id})


def _divergence(reference: Turn, turn: Turn) -> dict[str, object] | None:
    """Mean KLD and top-1 agreement on the reference's answer, in words and figures; None where nothing is known."""
    forced = turn.forced
    if forced.of != reference.key or forced.result is None:
        return None
    if forced.state == "measuring":
        return {"words": "Measuring the divergence", "kld": None, "agreement": None}
    seen = forced.result.summary
    if seen is None:
        return {"words": f"No divergence: {forced.words[:1].lower()}{forced.words[1:]}", "kld": None, "agreement": None}
    part = "" if forced.result.complete else f" over the first {seen.tokens} tokens"
    return {
        "words": f"{str(seen)[0].upper()}{str(seen)[1:]}{part}",
        "kld": seen.kld_mean,
        "agreement": seen.top1_agreement,
    }
