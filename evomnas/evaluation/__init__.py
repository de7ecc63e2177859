"""Architecture in, evaluation out.

- `interface`: what a search needs of an evaluator.
- `network_evaluator`: look up, measure alone, train.
- `detection_evaluator`: that of networks that find things in images.
- `table_evaluator`: evaluations from a table.
- `executors/`: in which processes candidates are prepared and trained.
- `inheritance/`: networks that inherit the weights of others of their run.
- `stopwatch`: seconds by purpose.
- `factory`: the evaluator of a problem.
- `on_demand`: an evaluator that is opened when the first network comes, and can be copied and pickled.
"""
