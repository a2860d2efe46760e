"""Jobs that the benchmarks have done: the scripted report and its endpoint, crowds of them, and what carries them."""
