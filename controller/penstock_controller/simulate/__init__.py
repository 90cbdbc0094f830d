"""The simulator: the production policy and placement under virtual time, with workloads and faults of one's choice.

`engine.simulate(settings, streams, autoscaler)` runs one seed and gives a `RunRecord`; `report.report_of(record)` makes
the figures of it, `report.summarise(reports)` those of several seeds.
"""
