"""A package, so that the platform with all the models ends with the last test of this folder."""
