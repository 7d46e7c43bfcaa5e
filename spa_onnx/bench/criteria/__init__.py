"""Models x recipes x budgets x seeds: what each way of pruning leaves of the accuracy."""
