from ....core.data_model import DataBase

class S3Base(DataBase):
    endpoint: str
    region: str
    bucket: str
    accessKey: str
    secretKey: str
    IAM_id: str
    IAM_api_key: str

class S3Path(S3Base):
    path: str
