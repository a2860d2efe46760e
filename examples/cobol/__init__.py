"""COBOL to Java: a judge of equivalence for which the compiled COBOL is the oracle, and a translator for a subset."""
