"""What a person looks at after a run: a page for the browser, a summary for the job's log.

Both follow from a verified artifact alone, and say no more than it does.
"""
