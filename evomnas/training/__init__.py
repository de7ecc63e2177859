"""Networks fed and trained.

- `augmentation`: random changes of images.
- `schedules`: learning rates.
- `trainer`: what all trainings share.
- `early_stop`: which candidates may stop before their last epoch.
- `proxy_task`: the short training that scores a candidate.
"""
