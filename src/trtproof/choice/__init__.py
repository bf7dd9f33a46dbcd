"""The best configuration of a sweep under constraints: verdicts, Pareto front, final session."""
