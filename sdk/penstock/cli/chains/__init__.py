"""`penstock chains`: makes, serves and deploys chains, which are several chainlets that call one another.

push  ──generates (a process of its own)──▶ Trusses ──upload──▶ controller ──▶ a deployment per chainlet ──follow──▶
watch ──generates──▶ Trusses in the state folder ──▶ controller; again after each save (chain_watch)
run   ──▶ the file itself, with `truss_chains` there
"""
