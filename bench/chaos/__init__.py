"""Faults on purpose: workers, leaders, PostgreSQL and disks are broken under a steady load of jobs.

`python -m bench.chaos SCENARIO` runs one, `all` runs each; README.md says what they do. The tests in
tests/chaos run the same faults in a short form.
"""
