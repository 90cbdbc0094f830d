WORD = "bundled"
