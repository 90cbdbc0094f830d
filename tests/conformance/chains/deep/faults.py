"""An exception class of the user's own, which every chainlet of the chain can import."""


class RockfallError(Exception):
    pass
