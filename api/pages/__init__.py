"""HTML for people: the report of a job, its pictures, and the list of jobs."""
