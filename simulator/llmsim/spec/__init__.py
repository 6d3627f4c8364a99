"""What a user may write down: models, machines, workloads, serving, targets, the whole scenario."""
