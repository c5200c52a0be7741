"""What runs a job: one module per job type, and the process that each job gets for itself.

Nothing here knows Django or the database. `process.JobProcesses` is the door for the worker;
`base.EXECUTORS` maps a job type to the function that does the work inside the job's process.
"""
