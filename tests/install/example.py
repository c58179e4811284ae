"""A user in another language, by ctypes: example.py LIBRARY FIRMWARE VCPUS TYPE prints the launch digest."""
import ctypes
import sys


class Bytes(ctypes.Structure):
    _fields_ = [("data", ctypes.c_char_p), ("size", ctypes.c_size_t)]


class Options(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_size_t), ("mode", ctypes.c_uint32), ("vmm", ctypes.c_uint32),
                ("fpu", ctypes.c_uint32), ("vcpus", ctypes.c_uint32), ("guest_features", ctypes.c_uint64),
                ("vcpu_type", ctypes.c_char_p), ("vcpu_signature", ctypes.c_uint32), ("reserved", ctypes.c_uint32),
                ("firmware", Bytes), ("firmware_digest", Bytes), ("kernel", Bytes), ("initrd", Bytes),
                ("cmdline", Bytes), ("svsm", Bytes), ("vars_size", ctypes.c_uint64)]


def load(path):
    library = ctypes.CDLL(path)
    for function in (library.cvmin_launch_digest, library.cvmin_launch_digests):
        function.argtypes = [ctypes.POINTER(Options), ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
        function.restype = ctypes.c_int
    return library


def main(path, firmware_file, vcpus, vcpu_type):
    snp, qemu, fpu_reset = 1, 1, 1
    with open(firmware_file, "rb") as file:
        firmware = file.read()
    options = Options(struct_size=ctypes.sizeof(Options), mode=snp, vmm=qemu, fpu=fpu_reset, vcpus=int(vcpus),
                      guest_features=1, vcpu_type=vcpu_type.encode(), firmware=Bytes(firmware, len(firmware)))
    digest, error = ctypes.create_string_buffer(48), ctypes.create_string_buffer(128)
    status = load(path).cvmin_launch_digest(ctypes.byref(options), digest, 48, error, 128)
    if status != 0:
        sys.exit(error.value.decode())
    print(digest.raw.hex())


if __name__ == "__main__":
    main(*sys.argv[1:])
