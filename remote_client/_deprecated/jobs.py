"""Deprecated."""

from remote_client._deprecated import moved

__getattr__ = moved("remote_client.jobs", "JobInfo", "JobStatus", "PredictionJob", "Progress", "TrainingJob")
