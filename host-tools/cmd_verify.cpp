#include "host-tools/cli.hpp"

namespace cvmin {

int cmd_verify(int, char **) {
    return report_error("verify", Exit::system_failure, "not built yet");
}

} // namespace cvmin
