"""What `bench/run.py` is made of: scenarios, targets, samples, bars, report."""
