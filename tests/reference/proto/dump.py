"""Writes the wire format that the `tritonclient` package speaks as a text file, for proto/tests/wire_format.rs.

By hand, when a new tritonclient matters:

    pip install 'tritonclient[grpc]'
    python tests/reference/proto/dump.py > tests/reference/proto/tritonclient.txt

One line per message field, enum value and RPC, sorted, so that neither order nor file split matters.
"""

from importlib.metadata import version

from google.protobuf.descriptor import FieldDescriptor
from tritonclient.grpc import model_config_pb2, service_pb2

SCALARS = {
    getattr(FieldDescriptor, name): name.removeprefix("TYPE_").lower()
    for name in dir(FieldDescriptor)
    if name.startswith("TYPE_")
}


def type_name(field):
    if field.message_type is not None:
        return field.message_type.full_name
    if field.enum_type is not None:
        return field.enum_type.full_name
    return SCALARS[field.type]


def label(field):
    message = field.message_type
    if message is not None and message.GetOptions().map_entry:
        key, value = message.fields_by_name["key"], message.fields_by_name["value"]
        return f"map<{type_name(key)}, {type_name(value)}>"
    repeated = field.is_repeated if hasattr(field, "is_repeated") else field.label == field.LABEL_REPEATED
    kind = ("repeated " if repeated else "") + type_name(field)
    return kind + (f" oneof {field.containing_oneof.name}" if field.containing_oneof else "")


def enum(descriptor):
    for value in descriptor.values:
        yield f"enum {descriptor.full_name} {value.number} {value.name}"


def message(descriptor):
    if descriptor.GetOptions().map_entry:
        return
    yield f"message {descriptor.full_name}"
    for field in descriptor.fields:
        yield f"field {descriptor.full_name} {field.number} {field.name}: {label(field)}"
    for nested in descriptor.nested_types:
        yield from message(nested)
    for nested in descriptor.enum_types:
        yield from enum(nested)


def rpc(method):
    # The Python descriptor hides streaming; its proto form tells.
    from google.protobuf.descriptor_pb2 import MethodDescriptorProto

    proto = MethodDescriptorProto()
    method.CopyToProto(proto)
    stream = {True: "stream ", False: ""}
    return (
        f"rpc {method.full_name}({stream[proto.client_streaming]}{method.input_type.full_name})"
        f" returns ({stream[proto.server_streaming]}{method.output_type.full_name})"
    )


def lines():
    for module in (service_pb2, model_config_pb2):
        for descriptor in module.DESCRIPTOR.message_types_by_name.values():
            yield from message(descriptor)
        for descriptor in module.DESCRIPTOR.enum_types_by_name.values():
            yield from enum(descriptor)
        for service in module.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                yield rpc(method)


print(f"# tritonclient {version('tritonclient')}, by tests/reference/proto/dump.py")
print("\n".join(sorted(lines())))
