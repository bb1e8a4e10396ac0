"""The public names of `remote_client.caikit`: tests without caikit, and those with it, look at them."""

NAMES = {
    "RemoteModelFinder",
    "RemoteModelInitializer",
    "RemoteModelTrainer",
    "RemoteModuleBase",
    "RemoteModuleConfig",
    "RemoteRPCDescriptor",
    "construct_remote_module_class",
}
