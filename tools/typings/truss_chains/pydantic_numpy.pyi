from penstock.chains.pydantic_numpy import *
from penstock.chains.pydantic_numpy import NumpyArrayField as NumpyArrayField
