"""Objects as an installed Truss would make them."""

from __future__ import annotations

from typing import Any

import pydantic


def foreign(name: str, **values: Any) -> pydantic.BaseModel:
    """Returns an object of a class of this name that is not ours."""
    fields: dict[str, Any] = {key: (type(value), ...) for key, value in values.items()}
    made: pydantic.BaseModel = pydantic.create_model(name, **fields)(**values)
    return made
