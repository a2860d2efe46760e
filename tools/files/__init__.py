"""Files: read, search, edit and patch a copy of a project; what leaves it is proposed."""
