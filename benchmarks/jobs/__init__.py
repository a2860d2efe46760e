"""What the benchmarks do as jobs: the teams, and the others that do as much."""
