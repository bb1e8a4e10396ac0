from typing import Any

from aconfig import Config

from ...core.data_model import DataBase, DataStream

class DataStreamPluginFactory: ...
class DataStreamSourceBase(DataStream[Any]): ...

def make_data_stream_source(
    data_element_type: type,
    plugin_factory: DataStreamPluginFactory = ...,
    plugins_config: Config | None = None,
) -> type[DataBase]: ...
