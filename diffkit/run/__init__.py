"""From objects to runs: train, sample, evaluate."""
