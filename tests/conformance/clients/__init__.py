"""A package, so that the platform with the examples ends with the last test of this folder."""
