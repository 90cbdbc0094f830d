"""The `controller` command."""
