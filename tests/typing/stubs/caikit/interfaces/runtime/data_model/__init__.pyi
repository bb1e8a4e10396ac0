from datetime import datetime

from ....core.data_model import DataBase

class ModelPointer(DataBase):
    model_id: str

class PredictionJob(DataBase):
    prediction_id: str

class TrainingJob(DataBase):
    training_id: str
    model_name: str

class TrainingInfoRequest(DataBase):
    def __init__(self, training_id: str | None = None) -> None: ...

class TrainingStatusResponse(DataBase):
    training_id: str
    state: int
    submission_timestamp: datetime | None
    completion_timestamp: datetime | None
    reasons: list[str]
