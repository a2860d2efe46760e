"""Questions to people: how they are opened, answered and decided."""
