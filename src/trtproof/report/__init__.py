"""The before/after report: recorded facts -> figures -> tables, charts -> page, metrics."""
