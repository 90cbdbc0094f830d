def to_miles(kilometres):
    return kilometres / 1.609344
