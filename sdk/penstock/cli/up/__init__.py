"""`penstock up`: a controller, an edge and local runners on one machine, as one command.

    command ──starts──▶ children (controller, edge) ──▶ runners (by the controller)
       │ asks AdminService (admin) ──▶ observation ──▶ readiness, transitions ──▶ report, progress
       └ follows the runners' log files (log_pump, log_tail) ──▶ progress

`host_port`, `observation`, `readiness`, `transitions`, `restart_policy` and `report` are pure; the rest does the input
and output.
"""
