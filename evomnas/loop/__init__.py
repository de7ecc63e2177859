"""Ask, evaluate, tell, until the budget is spent.

- `loop`: what all searches share; `generations` and `steady_state`: the two ways to search.
- `asking`: the algorithm, on the stopwatch.
- `tally`: what was evaluated; `stopping`: when a search ends.
- `confirming`: second trainings, by the last share of a budget.
- `journal`: what is kept of a search; `run_clock`: where its time goes.
- `progress`: where a search stands, for those who watch it; `callbacks`: those who are told what it does.
- `launch`: searches begun, resumed and carried on.
- `fidelity`: how short the trainings of a search may be, by a pilot.
- `estimate`: what a search will cost.
- `pymoo_problem`: the search as a pymoo problem.
"""
