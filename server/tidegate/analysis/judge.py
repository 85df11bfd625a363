"""What the evidence of a phase says: one verdict for each measure that is compared.

A failure is shown harm, a pass is excluded harm, both but for the error probability, at any look. In between is what
cannot be told yet, which more requests decide, unless the revision is just as bad as it may be.

The error probability of a phase is shared by its sequences, four at most (``SEQUENCES``): both arms' errors,
executions, and either the latency or, of a shadow, whose copies wait behind the callers' requests, the outputs.
"""

from __future__ import annotations

from tidegate.analysis.confidence import interval
from tidegate.analysis.effect import latency_report
from tidegate.analysis.evidence import Evidence, Share
from tidegate.analysis.histogram import Counts
from tidegate.analysis.observation import Comparison
from tidegate.analysis.outputs import instability
from tidegate.analysis.settings import SEQUENCES, AnalysisSettings
from tidegate.analysis.verdict import Outcome, Verdict, percent


def judge(
    evidence: Evidence,
    settings: AnalysisSettings,
    *,
    shadow: bool = False,
    durations: tuple[Counts, Counts] | None = None,
) -> tuple[Verdict, ...]:
    """Errors, latency, executions and outputs, as far as they are compared.

    Executions that cannot be held against any are no reason to wait, once there were enough requests: the batches of a
    small share are smaller than those of a large one, so there may never be enough that are alike.

    ``shadow``: the new revision got copies; their outputs are judged, and their latency is not. ``durations``: the
    stable and the new revision's latency since the phase began, for the numbers; they decide nothing.
    """
    verdicts: list[Verdict] = []
    if settings.max_increase is not None:
        verdicts.append(_errors(evidence.stable_errors, evidence.canary_errors, settings.max_increase, settings))
    if settings.percentile is not None:
        if not shadow:
            more = latency_report(*durations, settings.percentile) if durations else {}
            verdicts.append(_slow("latency", evidence.slow, settings.percentile, more, settings))
        execution = _slow("execution", evidence.slow_executions, settings.percentile, {}, settings)
        if execution.outcome is not Outcome.NO_DATA or evidence.canary_errors.of < settings.min_samples:
            verdicts.append(execution)
    if settings.max_different is not None and shadow:
        verdicts.append(_outputs(evidence.outputs, settings.max_different, settings))
    return tuple(verdicts)


def _interval(share: Share, settings: AnalysisSettings) -> tuple[float, float]:
    return interval(min(share.hits, share.of), share.of, settings.alpha / SEQUENCES)


def _outcome(least: float, most: float, limit: float, enough: bool, settings: AnalysisSettings) -> Outcome:
    if least > limit:
        return Outcome.FAIL
    if not enough:
        return Outcome.NO_DATA
    return Outcome.PASS if most <= limit else Outcome.UNDECIDED


def _errors(stable: Share, canary: Share, limit: float, settings: AnalysisSettings) -> Verdict:
    stable_low, stable_high = _interval(stable, settings)
    low, high = _interval(canary, settings)
    enough = canary.of >= settings.min_samples and stable.of > 0
    outcome = _outcome(low - stable_high, high - stable_low, limit, enough, settings)
    said = {
        Outcome.PASS: "pass",
        Outcome.FAIL: f"more than {percent(limit)} above the stable revision",
        Outcome.UNDECIDED: f"up to {percent(high - stable_low)} above the stable revision is possible",
        Outcome.NO_DATA: _wanted(canary, settings) or "the stable revision had no requests",
    }[outcome]
    numbers = {
        "rate": canary.rate,
        "stable_rate": stable.rate,
        "n": canary.of,
        "stable_n": stable.of,
        "low": low,
        "high": high,
        "stable_low": stable_low,
        "stable_high": stable_high,
        "limit": limit,
    }
    compared = f"errors {percent(canary.rate)} vs {percent(stable.rate)}, n = {canary.of:,}"
    return Verdict("errors", outcome, f"{compared}: {said}", numbers, canary.rate - stable.rate > limit)


def _slow(check: str, slow: Share, percentile: float, more: dict[str, float], settings: AnalysisSettings) -> Verdict:
    limit = (100.0 - percentile) / 100.0
    verdict = _share(check, slow, limit, settings)
    ratio = f"p{percentile:g} ratio {more['ratio']:.2f}, " if more else ""
    slower = f"{ratio}{percent(slow.rate)} slower than {settings.max_ratio:g} times the stable p{percentile:g}"
    said = {
        Outcome.PASS: "pass",
        Outcome.FAIL: f"more than {percent(limit)}",
        Outcome.UNDECIDED: f"up to {percent(verdict.numbers['high'])} is possible, {percent(limit)} is allowed",
        Outcome.NO_DATA: _wanted(slow, settings),
    }[verdict.outcome]
    sentence = f"{check}: {slower}, n = {slow.of:,}: {said}" if slow.of else f"{check}: {said}"
    return Verdict(check, verdict.outcome, sentence, {**verdict.numbers, **more}, verdict.suspect)


def _outputs(seen: Comparison, limit: float, settings: AnalysisSettings) -> Verdict:
    different = Share(seen.different + seen.failed, seen.compared + seen.failed)
    verdict = _share("outputs", different, limit, settings)
    said = {
        Outcome.PASS: "pass",
        Outcome.FAIL: f"more than {percent(limit)}",
        Outcome.UNDECIDED: f"up to {percent(verdict.numbers['high'])} is possible, {percent(limit)} is allowed",
        Outcome.NO_DATA: _wanted(different, settings),
    }[verdict.outcome]
    numbers = {
        **verdict.numbers,
        "failed": seen.failed,
        "dropped": seen.dropped,
        "max_absolute": seen.max_absolute,
        "max_relative": seen.max_relative,
    }
    if seen.top1_compared:
        numbers["top1"] = seen.top1_agreed / seen.top1_compared
    if (shift := instability(seen.scores, seen.shadow_scores)) is not None:
        numbers["instability"] = shift
    sentence = f"outputs {percent(different.rate)} different, n = {different.of:,}: {said}"
    return Verdict("outputs", verdict.outcome, sentence, numbers, verdict.suspect)


def _share(check: str, share: Share, limit: float, settings: AnalysisSettings) -> Verdict:
    """A share against a limit, without a sentence yet."""
    low, high = _interval(share, settings)
    outcome = _outcome(low, high, limit, share.of >= settings.min_samples, settings)
    numbers = {"rate": share.rate, "n": share.of, "low": low, "high": high, "limit": limit}
    return Verdict(check, outcome, "", numbers, share.rate > limit)


def _wanted(share: Share, settings: AnalysisSettings) -> str:
    return f"{settings.min_samples:,} are needed" if share.of < settings.min_samples else ""
