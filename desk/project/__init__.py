"""Projects of one's own: how one is begun, and how its teams are measured."""
