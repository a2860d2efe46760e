"""A translator of a declared subset of COBOL into Java; what is not in it is refused by name, with its line."""
