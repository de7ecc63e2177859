"""A comparison in words and table cells: what the command and the page share. It says what the figures say, no more."""

from __future__ import annotations

from collections.abc import Sequence

from evomnas.problem.definition import Definition
from evomnas.report.comparison.comparison import LIMITS, SHARES, Comparison, Group, Reached
from evomnas.report.comparison.significance import LEVEL, Pair
from evomnas.report.comparison.traces import Trace
from evomnas.report.words import format_cost, format_quality, format_share

Table = tuple[tuple[str, ...], list[tuple[str, ...]]]
NAMED = 3  # runs that a note names


def verdict(comparison: Comparison) -> str:
    """Which algorithm ends highest, and whether chance alone would do as much, in one sentence."""
    leader, *others = comparison.groups
    start = f"After {_count(comparison.evaluations, 'evaluation')}"
    if leader.median == 0:
        return f"{start} no algorithm's median run has any hypervolume."
    if not others:
        return f"{start} {leader.name} ends at a hypervolume of {_median(leader)}{_share(comparison, leader)}."
    level = [leader, *(one for one in others if one.median == leader.median)]
    if len(level) > 1:
        text = f"{start} {_listed([one.name for one in level])} have the same hypervolume, {_median(leader)}"
    else:
        text = f"{start} {leader.name} has the most hypervolume, {_median(leader)}"
    return "".join([text, _share(comparison, leader), *_clauses(comparison, leader, others, len(level) > 1)]) + "."


def _clauses(comparison: Comparison, leader: Group, others: Sequence[Group], tied: bool) -> list[str]:
    """The leader against each of the others: what is beyond chance, what is not, what cannot be said.

    Of those whose median is the leader's, only a difference beyond chance is worth a word.
    """
    lower = [one for one in others if one.median < leader.median]
    its = f"{leader.name}'s" if tied else "its"
    pairs = {pair.second: pair for pair in comparison.pairs if pair.first == leader.name}
    ahead = [one for one in others if pairs[one.name].significant and pairs[one.name].effect > 0.5]
    behind = [one for one in others if pairs[one.name].significant and pairs[one.name].effect < 0.5]
    unclear = [one for one in lower if pairs[one.name].p is not None and not pairs[one.name].significant]
    untested = [one for one in lower if pairs[one.name].p is None]

    def said(groups: Sequence[Group]) -> str:
        return _listed([f"{one.name} ({_facts(one, leader, pairs[one.name])})" for one in groups])

    clauses = []
    if ahead:
        clauses.append(f"; that is, beyond chance, more than {said(ahead)}")
    if unclear:
        clauses.append(f"; {its} difference from {said(unclear)} is not significant")
    if behind:
        clauses.append(f"; in their ranks the runs of {said(behind)} are ahead of it, whatever the medians")
    if untested:
        few = f"with fewer than {comparison.seeds_needed} seeds each nothing can be said about chance"
        clauses.append(
            f", against {said(untested)}; {few}" if not ahead + unclear + behind else f"; {few} for {said(untested)}"
        )
    return clauses


def _facts(one: Group, leader: Group, pair: Pair) -> str:
    seeds = "" if len(one.seeds) == len(leader.seeds) else f" of {_count(len(one.seeds), 'seed')}"
    test = "" if pair.p is None else f", {format_p(pair.p)}, A12 = {pair.effect:.2f}"
    return f"{one.median:.4f}{seeds}{test}"


def _median(group: Group) -> str:
    seeds = len(group.seeds)
    return f"{group.median:.4f} with one seed" if seeds == 1 else f"{group.median:.4f} in the median of {seeds} seeds"


def _share(comparison: Comparison, group: Group) -> str:
    share = format_share(group.median / comparison.best_known)
    return f", {share} of the true front's" if comparison.complete else ""


def format_p(p: float) -> str:
    """`p = 0.021`, or `p < 0.001`."""
    return "p < 0.001" if p < 0.001 else f"p = {min(p, 0.999):.3f}" if p < 1 else "p = 1"


def notes(comparison: Comparison) -> list[str]:
    """What a reader must know beside the figures, a sentence each."""
    traces = [one for _, one in comparison.runs]
    count = comparison.evaluations
    source = "the true front's: the table is complete" if comparison.complete else "that of all compared runs together"
    lines = [f"Best known hypervolume: {comparison.best_known:.4f}, {source}."]
    longest = max(one.horizon for one in traces)
    if longest > count:
        short = [one for one in traces if one.horizon == count]
        lines.append(
            f"Runs go up to {longest} evaluations; all are compared up to {count}, where {_folders(short)} "
            f"end{'s' * (len(short) == 1)}."
        )
    unfinished = [one for one in traces if one.status != "finished"]
    if unfinished:
        lines.append(f"Not finished: {_folders(unfinished)}.")
    early = [one for one in traces if one.evaluations < count]
    if early:
        lines.append(
            f"Had nothing more to ask before {count} evaluations, so that {'its' if len(early) == 1 else 'their'} "
            f"hypervolume stays from there: {_folders(early)}."
        )
    return lines


def significance_note(comparison: Comparison) -> str:
    """How differences were tested, or why they could not be."""
    algorithms = len(comparison.groups)
    if algorithms < 2:
        return "There is one algorithm: nothing to test."
    pairs = len(comparison.pairs)
    many = f" after the correction for {pairs} pairs" if pairs > 1 else ""
    need = (
        f"with fewer than {comparison.seeds_needed} seeds each no difference, however clear, could have "
        f"p < {LEVEL:g}{many}"
    )
    if all(pair.p is None for pair in comparison.pairs):
        return f"Not tested: {need}."
    correction = ", Holm-corrected" if pairs > 1 else ""
    return (
        f"Hypervolume after {_count(comparison.evaluations, 'evaluation')}. p: Mann-Whitney U, two-sided{correction}. "
        "A12 (Vargha and Delaney): the chance that a run of the first ends higher than one of the second, 0.5 where "
        f"neither is ahead. Pairs are tested where it can say anything: {need}."
    )


def summary_table(comparison: Comparison) -> Table:
    """Per algorithm its hypervolume, how soon it came, and what the algorithm itself took."""
    timed = any(group.own_share is not None for group in comparison.groups)
    header = ("algorithm", "seeds", "hypervolume", "quartiles", "of best", *(f"to {share:.0%}" for share in SHARES))
    rows = [_summary(comparison, group, timed) for group in comparison.groups]
    return (*header, "own time", "each", *(("of all",) if timed else ())), rows


def _summary(comparison: Comparison, group: Group, timed: bool) -> tuple[str, ...]:
    final = group.final
    quartiles = "-" if len(group.seeds) == 1 else f"{final.low[0]:.4f} to {final.high[0]:.4f}"
    share = f"{group.median / comparison.best_known:.1%}" if comparison.best_known > 0 else "-"
    own = (f"{group.own_seconds:.3g} s", f"{1000 * group.own_per_evaluation:.3g} ms")
    of_all = () if not timed else ("-",) if group.own_share is None else (f"{group.own_share:.2%}",)
    return (
        group.name, str(len(group.seeds)), f"{group.median:.4f}", quartiles, share,
        *(_reached(one, len(group.seeds)) for one in group.to_reach), *own, *of_all,
    )  # fmt: skip


def _reached(one: Reached, runs: int) -> str:
    if one.median is None:
        return f"by {one.runs} of {runs}" if one.runs else "not reached"
    return f"{one.median:g}" if one.runs == runs else f"{one.median:g} (by {one.runs} of {runs})"


def limits_table(comparison: Comparison) -> Table:
    """Per algorithm the best quality of a network that keeps a limit of the cost; last, the best that is known."""
    definition, cost = comparison.definition, comparison.reference_cost
    limits = [
        f"{limit:g}x" + ("" if cost is None else f" ({format_cost(definition, limit * cost)})") for limit in LIMITS
    ]
    groups = comparison.groups
    rows = [(group.name, *(_under(definition, one, len(group.seeds)) for one in group.under)) for group in groups]
    known = ["-" if loss is None else format_quality(definition, loss, 2) for loss in comparison.best_under]
    name = "true front" if comparison.complete else "all together"
    return (f"{definition.axes[0]} within", *limits), [*rows, (name, *known)]


def _under(definition: Definition, one: Reached, runs: int) -> str:
    if one.median is None:
        return f"by {one.runs} of {runs}" if one.runs else "none"
    quality = format_quality(definition, one.median, 2)
    return quality if one.runs == runs else f"{quality} (by {one.runs} of {runs})"


def limits_note(comparison: Comparison) -> str:
    """What the limits are relative to."""
    cost = comparison.definition.axes[1]
    name = comparison.definition.words.reference
    return f"Limits are relative to the {cost} of {name}; medians over seeds."


def pairs_table(comparison: Comparison) -> Table:
    """Every two algorithms whose difference was tested."""
    rows: list[tuple[str, ...]] = [
        (f"{one.first} against {one.second}", format_p(one.p), f"{one.effect:.2f}", "yes" if one.significant else "no")
        for one in comparison.pairs
        if one.p is not None
    ]
    return ("hypervolume of", "p", "A12", f"p < {LEVEL:g}"), rows


def runs_table(comparison: Comparison) -> Table:
    """Every run that is compared."""
    rows: list[tuple[str, ...]] = [
        (str(one.folder), name, str(one.seed), f"{one.evaluations} of {one.budget}", one.status)
        for name, one in comparison.runs
    ]
    return ("run", "algorithm", "seed", "evaluations", "status"), rows


def time_note(comparison: Comparison) -> str:
    """What the time axis counts, or why there is none."""
    if not comparison.definition.trains:
        return "The networks were looked up in a table, which takes no time to speak of: there is no time axis."
    return (
        "Time is what measuring and training a run's networks took, one after another and whichever run paid for it, "
        "and the algorithm's own time, spread evenly over its evaluations: runs share an archive, and what another "
        "run has evaluated takes no time on the clock. Failed candidates and those beyond a "
        "limit count none, those that were cut off what they took. A line ends where the first of its runs does."
    )


def attainment_note(comparison: Comparison) -> str:
    """How to read an attainment surface."""
    upwards = comparison.definition.plot_point((0.0, 0.0)) > comparison.definition.plot_point((1.0, 0.0))
    side = "below" if upwards else "above"
    return (
        f"Empirical attainment: everything to the right of and {side} a line was attained by at least one run, by at "
        "least half of them, or by all."
    )


def _folders(traces: Sequence[Trace]) -> str:
    names = [str(one.folder) for one in traces]
    more = len(names) - NAMED
    return _listed(names) if more <= 0 else f"{', '.join(names[:NAMED])} and {more} more"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + "s" * (number != 1)
