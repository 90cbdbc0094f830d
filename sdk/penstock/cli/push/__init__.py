"""`penstock push`: brings a Truss directory to the controller and makes a deployment of it.

    command ──packs──▶ artifact ──upload──▶ controller ──▶ deployment ──follow (--wait)──▶ ACTIVE, or why not

`unknown_keys`, `outcome` and `report` are pure.
"""
