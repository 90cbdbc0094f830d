"""Imports its own code in every way that Truss offers: bundled, external, by package, and relative."""

import greetings
from measures import to_miles
from shapes.square import area

from model.neighbour import NAME

from .neighbour import NAME as RELATIVE


class Model:
    def predict(self, inputs):
        import model.neighbour

        return {
            "greeting": greetings.greet(inputs["name"]),
            "area": area(3),
            "miles": to_miles(1.609344),
            "names": [NAME, RELATIVE, model.neighbour.NAME],
            "module": __name__,
        }
