"""The sandbox of Linux: a bubblewrap cell with its mounts, limits and system call filter."""
