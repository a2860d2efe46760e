"""The sandbox in Docker or Podman."""
