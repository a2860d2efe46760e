"""Commands of the fleet: jobs and the workers that do them, and schedules."""
