"""Progressive search: networks grow block by block, and a predictor says which are worth training.

- `dpp_net`: DPP-Net's search.
- `recurrent_predictor`: its recurrent network, which reads a genome and predicts error and cost.
- `selection`: the networks of the best fronts, spread over them.
"""
