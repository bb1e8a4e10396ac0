from ....core.data_model import DataBase

class ModelPointer(DataBase):
    model_id: str

class PredictionJob(DataBase):
    prediction_id: str

class TrainingJob(DataBase):
    training_id: str
    model_name: str
