from .names import ServiceType

class ServicePackage: ...

class ServicePackageFactory:
    @classmethod
    def get_service_package(cls, service_type: ServiceType, write_modules_file: bool = False) -> ServicePackage: ...
