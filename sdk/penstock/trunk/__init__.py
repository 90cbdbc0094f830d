"""The trunk: many streams over one bidirectional call between an edge process and a runner.

`limits` states every bound, `batch` is the wire form, `endpoint` and `stream` are the pure state machine of one side,
`pump` is the only module that does I/O: it moves batches between an endpoint and a gRPC call.
"""
