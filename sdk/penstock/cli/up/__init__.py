"""`penstock up`: a controller, an edge and local runners on one machine, as one command.

    command ──starts──▶ children (controller, edge) ──▶ runners (by the controller)
       │ asks AdminService (admin) ──▶ observation ──▶ readiness, transitions ──▶ view (progress, report)
       └ follows the runners' log files (log_tail) ──▶ view

`observation`, `readiness`, `transitions`, `restart_policy` and `report` are pure; `command`, `admin`, `children`,
`processes`, `log_tail` and `view` do the input and output.
"""
