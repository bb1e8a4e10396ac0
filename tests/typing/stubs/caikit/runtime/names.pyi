from enum import Enum

from ..core import ModuleBase, TaskBase

MODEL_ID: str
MODEL_MESH_MODEL_ID_KEY: str
OPTIONAL_INPUTS_KEY: str
REQUIRED_INPUTS_KEY: str
TRAINING_MANAGEMENT_ENDPOINT: str

class ServiceType(Enum):
    INFERENCE = 1
    TRAINING = 2
    TRAINING_MANAGEMENT = 3
    INFO = 4
    MODEL_MANAGEMENT = 5
    JOB_INFERENCE = 6

def get_service_package_name(service_type: ServiceType | None = None) -> str: ...
def get_train_rpc_name(module_class: type[ModuleBase]) -> str: ...
def get_train_request_name(module_class: type[ModuleBase]) -> str: ...
def get_task_predict_rpc_name(
    task_or_module_class: type[ModuleBase | TaskBase], input_streaming: bool = False, output_streaming: bool = False
) -> str: ...
def get_task_predict_request_name(
    task_or_module_class: type[ModuleBase | TaskBase], input_streaming: bool = False, output_streaming: bool = False
) -> str: ...
def get_http_route_name(rpc_name: str) -> str: ...
def get_http_prediction_job_route_name(rpc_name: str) -> str: ...
def get_grpc_route_name(service_type: ServiceType, rpc_name: str) -> str: ...
