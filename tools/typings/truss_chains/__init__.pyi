"""`truss_chains` for type checkers: the name under which users of chains import penstock.chains."""

from penstock.chains import *
