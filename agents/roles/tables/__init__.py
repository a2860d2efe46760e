"""Roles that fill a table whose cells carry their evidence, write about it and check both."""
