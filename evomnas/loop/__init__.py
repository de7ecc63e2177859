"""Ask, evaluate, tell, until the budget is spent.

- `loop`: what all searches share.
- `generations`, `steady_state`: generation by generation, or whenever a worker is free.
- `run_clock`: where a run's time goes.
- `launch`: searches begun and resumed.
- `estimate`: what a search will cost.
- `pymoo_problem`: the search as a pymoo problem.
"""
