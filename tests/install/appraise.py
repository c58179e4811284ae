"""A user in another language, by ctypes: appraise.py LIBRARY REPORT VEK POLICY SECONDS prints the verdict."""
import ctypes
import sys


class Bytes(ctypes.Structure):
    _fields_ = [("data", ctypes.c_char_p), ("size", ctypes.c_size_t)]

    def __init__(self, data=None):
        super().__init__(data, len(data or b""))


class Options(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_size_t), ("subject", ctypes.c_uint32), ("skip", ctypes.c_uint32),
                ("time", ctypes.c_int64)] + [(name, Bytes) for name in (
                    "evidence", "policy", "measurements", "vek", "ask", "ark", "certificates", "crl", "emulated_ark",
                    "report_data", "nonce", "exporter", "peer_key", "manifest")]


def main(path, report_file, vek_file, policy_file, seconds):
    library = ctypes.CDLL(path)
    library.cvmin_appraise.argtypes = [ctypes.POINTER(Options), ctypes.c_char_p, ctypes.POINTER(ctypes.c_size_t),
                                       ctypes.c_char_p, ctypes.c_size_t]
    report, vek, policy = (open(file, "rb").read() for file in (report_file, vek_file, policy_file))
    a_report, skip_report_data = 1, 1
    options = Options(struct_size=ctypes.sizeof(Options), subject=a_report, skip=skip_report_data, time=int(seconds),
                      evidence=Bytes(report), policy=Bytes(policy), vek=Bytes(vek),
                      measurements=Bytes(report[0x90:0xC0]))
    verdict, error = ctypes.create_string_buffer(64 << 10), ctypes.create_string_buffer(256)
    size = ctypes.c_size_t(len(verdict))
    status = library.cvmin_appraise(ctypes.byref(options), verdict, ctypes.byref(size), error, len(error))
    if status > 1:
        print(error.value.decode(), file=sys.stderr)
        return 3
    print(verdict.value.decode())
    return status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
