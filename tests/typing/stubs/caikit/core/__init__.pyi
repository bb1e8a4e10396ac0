from .data_model import DataObjectBase as DataObjectBase
from .data_model import dataobject as dataobject
from .modules import ModuleBase as ModuleBase
from .modules import module as module
from .task import TaskBase as TaskBase
from .task import task as task
