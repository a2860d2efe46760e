"""The sandbox of Linux: bubblewrap with its mounts, limits, user and filter of system calls."""
