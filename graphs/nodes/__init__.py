"""The nodes of a team's graph: intake, supervisor, agents, gate, act."""
