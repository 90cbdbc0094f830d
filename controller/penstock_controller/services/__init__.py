"""gRPC services of the controller."""
