"""Git: status, diff, branch and commit in a copy of a project; what leaves it is proposed."""
