"""How work flows: the team builder, its state, the supervisor, the gate, and ready-made teams."""
