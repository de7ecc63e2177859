"""The contexts under which results are stored, where limits of time and memory may have brought them about."""

from __future__ import annotations

from evomnas.results.candidate_limits import CandidateLimits
from evomnas.results.evaluation import Failure, Measurement, Training


def limited_context(context: str, candidates: CandidateLimits) -> str:
    """Return the context of failures under limits of time and memory. With other limits the network may succeed.

    Args:
        context: The context of other results.
        candidates: The limits.
    """
    return f"{context} {candidates.to_json()}"


def result_context(context: str, result: Measurement | Training | Failure, candidates: CandidateLimits) -> str:
    """Return the context under which a result is stored.

    Every failure may come of the limits, but for two kinds: when memory runs out, native code may end its process, or
    raise any error.

    Args:
        context: The context of results that do not depend on limits.
        result: The result.
        candidates: The limits of time and memory under which it came about.
    """
    may_be_limited = isinstance(result, Failure) and result.kind not in ("diverged", "mismatch")
    return limited_context(context, candidates) if may_be_limited else context
