from google.protobuf.descriptor import ServiceDescriptor

from .names import ServiceType

class ServicePackage:
    descriptor: ServiceDescriptor

class ServicePackageFactory:
    @classmethod
    def get_service_package(cls, service_type: ServiceType, write_modules_file: bool = False) -> ServicePackage: ...
