"""A comparison in sentences and tables, which the command and the page share. They say no more than the figures do."""

from __future__ import annotations

from collections.abc import Sequence

from evomnas.problem.definition import Definition
from evomnas.report.comparison.comparison import COST_LIMITS, HYPERVOLUME_SHARES, CensoredMedian, Comparison, Group
from evomnas.report.comparison.significance import SIGNIFICANCE_LEVEL, Pair
from evomnas.report.comparison.traces import Trace
from evomnas.report.run_words import hypervolume_note
from evomnas.report.words import TextTable, format_cost, format_quality, format_share, format_training

MAX_NAMED_RUNS = 3  # in a note


def verdict(comparison: Comparison) -> str:
    """Return one sentence: which algorithm ends highest, and whether its lead could be chance.

    Args:
        comparison: The comparison.

    Returns:
        The sentence. It also says where too few seeds allow no statement about chance.
    """
    leader, *others = comparison.groups
    start = f"After {_count(comparison.evaluations, 'evaluation')}"
    if leader.median == 0:
        return f"{start} no algorithm's median run has any hypervolume."
    if not others:
        return f"{start} {leader.name} ends at a hypervolume of {_median(leader)}{_share(comparison, leader)}."
    leaders = [leader, *(group for group in others if group.median == leader.median)]
    is_tied = len(leaders) > 1
    if is_tied:
        names = _join_names([group.name for group in leaders])
        text = f"{start} {names} have the same hypervolume, {_median(leader)}"
    else:
        text = f"{start} {leader.name} has the most hypervolume, {_median(leader)}"
    return "".join([text, _share(comparison, leader), *_clauses(comparison, leader, others, is_tied)]) + "."


def _clauses(comparison: Comparison, leader: Group, others: Sequence[Group], is_tied: bool) -> list[str]:
    """Return clauses about the leader against the others: beyond chance, not significant, or not tested.

    A group whose median equals the leader's is mentioned only where the difference is beyond chance.
    """
    lower = [group for group in others if group.median < leader.median]
    its = f"{leader.name}'s" if is_tied else "its"
    pairs = {pair.second: pair for pair in comparison.pairs if pair.first == leader.name}
    beaten = [group for group in others if pairs[group.name].significant and pairs[group.name].effect > 0.5]
    ahead = [group for group in others if pairs[group.name].significant and pairs[group.name].effect < 0.5]
    unclear = [group for group in lower if pairs[group.name].p is not None and not pairs[group.name].significant]
    untested = [group for group in lower if pairs[group.name].p is None]

    def describe(groups: Sequence[Group]) -> str:
        return _join_names([f"{group.name} ({_describe_group(group, leader, pairs[group.name])})" for group in groups])

    clauses = []
    if beaten:
        clauses.append(f"; that is, beyond chance, more than {describe(beaten)}")
    if unclear:
        clauses.append(f"; {its} difference from {describe(unclear)} is not significant")
    if ahead:
        clauses.append(f"; in their ranks the runs of {describe(ahead)} are ahead of it, whatever the medians")
    if untested:
        few_seeds = f"with fewer than {comparison.seeds_needed} seeds each nothing can be said about chance"
        if clauses:
            clauses.append(f"; {few_seeds} for {describe(untested)}")
        else:
            clauses.append(f", against {describe(untested)}; {few_seeds}")
    return clauses


def _describe_group(group: Group, leader: Group, pair: Pair) -> str:
    seeds = "" if len(group.seeds) == len(leader.seeds) else f" of {_count(len(group.seeds), 'seed')}"
    test = "" if pair.p is None else f", {format_p(pair.p)}, A12 = {pair.effect:.2f}"
    return f"{group.median:.4f}{seeds}{test}"


def _median(group: Group) -> str:
    seeds = len(group.seeds)
    return f"{group.median:.4f} with one seed" if seeds == 1 else f"{group.median:.4f} in the median of {seeds} seeds"


def _share(comparison: Comparison, group: Group) -> str:
    share = format_share(group.median / comparison.best_known)
    return f", {share} of the true front's" if comparison.complete else ""


def format_p(p: float) -> str:
    """Return a p value as text.

    Args:
        p: The p value.

    Returns:
        `p < 0.001` or `p = 0.021`. A value below 1 is never rounded to 1.
    """
    return "p < 0.001" if p < 0.001 else f"p = {min(p, 0.999):.3f}" if p < 1 else "p = 1"


def notes(comparison: Comparison) -> list[str]:
    """Return sentences about the runs that one must know to read the figures.

    Args:
        comparison: The comparison.

    Returns:
        The best known hypervolume first. Then, where it applies, that runs were cut to the shortest one, that runs are
        not finished, and that runs had nothing more to ask.
    """
    traces = [trace for _, trace in comparison.runs]
    count = comparison.evaluations
    source = "the true front's: the table is complete" if comparison.complete else "that of all compared runs together"
    sentences = [f"Best known hypervolume: {comparison.best_known:.4f}, {source}."]
    longest = max(trace.horizon for trace in traces)
    if longest > count:
        shortest = [trace for trace in traces if trace.horizon == count]
        sentences.append(
            f"Runs go up to {longest} evaluations; all are compared up to {count}, where {_folders(shortest)} "
            f"end{'s' * (len(shortest) == 1)}."
        )
    unfinished = [trace for trace in traces if trace.status != "finished"]
    if unfinished:
        sentences.append(f"Not finished: {_folders(unfinished)}.")
    exhausted = [trace for trace in traces if trace.evaluations < count]
    if exhausted:
        sentences.append(
            f"Had nothing more to ask before {count} evaluations, so that {'its' if len(exhausted) == 1 else 'their'} "
            f"hypervolume stays from there: {_folders(exhausted)}."
        )
    return sentences


def significance_note(comparison: Comparison) -> str:
    """Return sentences about how differences were tested, or why they were not.

    Args:
        comparison: The comparison.

    Returns:
        The sentences. They name the tests and the number of seeds that they need.
    """
    algorithms = len(comparison.groups)
    if algorithms < 2:
        return "There is one algorithm: nothing to test."
    pairs = len(comparison.pairs)
    corrected = f" after the correction for {pairs} pairs" if pairs > 1 else ""
    reason = (
        f"with fewer than {comparison.seeds_needed} seeds each no difference, however clear, could have "
        f"p < {SIGNIFICANCE_LEVEL:g}{corrected}"
    )
    if all(pair.p is None for pair in comparison.pairs):
        return f"Not tested: {reason}."
    correction = ", Holm-corrected" if pairs > 1 else ""
    return (
        f"Hypervolume after {_count(comparison.evaluations, 'evaluation')}. p: Mann-Whitney U, two-sided{correction}. "
        "A12 (Vargha and Delaney): the chance that a run of the first ends higher than one of the second, 0.5 where "
        f"neither is ahead. Pairs are tested where it can say anything: {reason}."
    )


def summary_table(comparison: Comparison) -> TextTable:
    """Return a table of the algorithms: hypervolume, evaluations until a share of it, and the algorithm's own time.

    Args:
        comparison: The comparison.

    Returns:
        A header, and a row of cells per algorithm.
    """
    has_times = any(group.own_share is not None for group in comparison.groups)
    shares = (f"to {share:.0%}" for share in HYPERVOLUME_SHARES)
    header = ("algorithm", "seeds", "hypervolume", "quartiles", "of best", *shares)
    rows = [_summary_row(comparison, group, has_times) for group in comparison.groups]
    return (*header, "own time", "each", *(("of all",) if has_times else ())), rows


def summary_notes(comparison: Comparison) -> list[str]:
    """Return sentences on what the columns of `summary_table` are.

    Args:
        comparison: The comparison.

    Returns:
        The sentences.
    """
    shares = ", ".join(f"{share:.0%}" for share in HYPERVOLUME_SHARES)
    of_all = ", and its share of all that its networks and itself took" if comparison.definition.trains else ""
    return [
        f"{hypervolume_note(comparison.definition)} The table has its median and quartiles over seeds.",
        f"To {shares}: networks until a run has that share of the best known hypervolume. It is the median, in which a "
        "run that never gets there counts as infinite, and by how many runs it was reached, where not by all.",
        f"Own time: what the algorithm itself took in a run, and for each evaluation{of_all}.",
    ]


def _summary_row(comparison: Comparison, group: Group, has_times: bool) -> tuple[str, ...]:
    final = group.final
    quartiles = "-" if len(group.seeds) == 1 else f"{final.low[0]:.4f} to {final.high[0]:.4f}"
    share = f"{group.median / comparison.best_known:.1%}" if comparison.best_known > 0 else "-"
    own = (f"{group.own_seconds:.3g} s", f"{1000 * group.own_per_evaluation:.3g} ms")
    of_all = () if not has_times else ("-",) if group.own_share is None else (f"{group.own_share:.2%}",)
    return (
        group.name, str(len(group.seeds)), f"{group.median:.4f}", quartiles, share,
        *(_format_evaluations(evaluations, len(group.seeds)) for evaluations in group.to_reach), *own, *of_all,
    )  # fmt: skip


def _format_evaluations(evaluations: CensoredMedian, runs: int) -> str:
    if evaluations.median is None:
        return f"by {evaluations.runs} of {runs}" if evaluations.runs else "not reached"
    text = f"{evaluations.median:g}"
    return text if evaluations.runs == runs else f"{text} (by {evaluations.runs} of {runs})"


def limits_table(comparison: Comparison) -> TextTable:
    """Return a table of the best quality within limits of the cost.

    Args:
        comparison: The comparison.

    Returns:
        A header with the limits, and a row of cells per algorithm. The last row is the best that is known.
    """
    definition, cost = comparison.definition, comparison.reference_cost
    limits = [
        f"{limit:g}x" + ("" if cost is None else f" ({format_cost(definition, limit * cost)})") for limit in COST_LIMITS
    ]
    rows = [
        (group.name, *(_format_best(definition, loss, len(group.seeds)) for loss in group.under))
        for group in comparison.groups
    ]
    best = ["-" if loss is None else format_quality(definition, loss, 2) for loss in comparison.best_under]
    name = "true front" if comparison.complete else "all together"
    return (f"{definition.axes[0]} within", *limits), [*rows, (name, *best)]


def _format_best(definition: Definition, loss: CensoredMedian, runs: int) -> str:
    if loss.median is None:
        return f"by {loss.runs} of {runs}" if loss.runs else "none"
    quality = format_quality(definition, loss.median, 2)
    return quality if loss.runs == runs else f"{quality} (by {loss.runs} of {runs})"


def limits_note(comparison: Comparison) -> str:
    """Return a sentence about the reference of the limits.

    Args:
        comparison: The comparison.

    Returns:
        The sentence.
    """
    cost = comparison.definition.axes[1]
    name = comparison.definition.words.reference
    quality = f"{comparison.definition.axes[0]}{format_training(comparison.definition)}"
    return f"Limits are relative to the {cost} of {name}. The table has the {quality}, in the median over seeds."


def pairs_table(comparison: Comparison) -> TextTable:
    """Return a table of the pairs of algorithms that were tested.

    Args:
        comparison: The comparison.

    Returns:
        A header, and a row of cells per pair. There are no rows where nothing was tested.
    """
    rows: list[tuple[str, ...]] = [
        (
            f"{pair.first} against {pair.second}",
            format_p(pair.p),
            f"{pair.effect:.2f}",
            "yes" if pair.significant else "no",
        )
        for pair in comparison.pairs
        if pair.p is not None
    ]
    return ("hypervolume of", "p", "A12", f"p < {SIGNIFICANCE_LEVEL:g}"), rows


def runs_table(comparison: Comparison) -> TextTable:
    """Return a table of the compared runs.

    Args:
        comparison: The comparison.

    Returns:
        A header, and a row of cells per run.
    """
    rows: list[tuple[str, ...]] = [
        (str(trace.folder), name, str(trace.seed), f"{trace.evaluations} of {trace.budget}", trace.status)
        for name, trace in comparison.runs
    ]
    return ("run", "algorithm", "seed", "evaluations", "status"), rows


def time_note(comparison: Comparison) -> str:
    """Return sentences about what the time axis counts, or why there is none.

    Args:
        comparison: The comparison.

    Returns:
        The sentences.
    """
    if not comparison.definition.trains:
        return "The networks were looked up in a table, which takes no time to speak of: there is no time axis."
    return (
        "Time is what measuring and training a run's networks took, one after another and whichever run paid for it, "
        "and the algorithm's own time, spread evenly over its evaluations: runs share an archive, and what another "
        "run has evaluated takes no time on the clock. Failed candidates and those beyond a "
        "limit count none, those that were cut off what they took. A line ends where the first of its runs does."
    )


def attainment_note(comparison: Comparison) -> str:
    """Return a sentence about how to read attainment surfaces.

    Args:
        comparison: The comparison.

    Returns:
        The sentence.
    """
    upwards = comparison.definition.plot_point((0.0, 0.0)) > comparison.definition.plot_point((1.0, 0.0))
    side = "below" if upwards else "above"
    return (
        f"Empirical attainment: everything to the right of and {side} a line was attained by at least one run, by at "
        "least half of them, or by all."
    )


def _folders(traces: Sequence[Trace]) -> str:
    names = [str(trace.folder) for trace in traces]
    more = len(names) - MAX_NAMED_RUNS
    return _join_names(names) if more <= 0 else f"{', '.join(names[:MAX_NAMED_RUNS])} and {more} more"


def _join_names(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + "s" * (number != 1)
