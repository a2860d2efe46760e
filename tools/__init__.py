"""What agents can do: search sources, search the web, publish a report."""
