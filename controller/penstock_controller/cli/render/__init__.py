"""What the reading commands print: pure functions of an answer, the time and a style."""
