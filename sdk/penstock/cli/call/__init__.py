"""`penstock call`: calls a model by HTTP, WebSocket or gRPC, whichever it understands.

command ──▶ target (which model, by what, where) ──▶ predict | grpc_predict | conversation ──▶ printer
                                                                          └── prompt, on a terminal
"""
