"""Running the pipeline unattended: steps, their journal, a lease, retries, a schedule, and where everything came from."""
