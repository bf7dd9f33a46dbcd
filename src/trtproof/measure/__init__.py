"""Timing: one schedule, one clock, one small worker process per contender."""
