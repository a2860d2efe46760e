"""Who does the work: the Agent, its bodies, the four roles, and models."""
