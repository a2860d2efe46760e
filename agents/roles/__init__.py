"""The ready-made roles: researcher, analyst, writer, reviewer, and the checks that they share."""
