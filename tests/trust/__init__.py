"""Faults, bad input and attacks: a table with a row for each, and its trials.

`python benchmarks/trust/run.py` prints the table with the full number of trials; `test_rows.py` runs a few of each.
"""
