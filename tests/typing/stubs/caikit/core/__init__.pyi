from .modules import ModuleBase as ModuleBase
from .modules import module as module
from .task import TaskBase as TaskBase
