def deeper(text):
    raise LookupError(text)
