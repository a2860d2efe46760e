"""The model body: a model in a loop with its tools, until it gives the artifact."""
