#include "host-tools/cli.hpp"

namespace cvmin {

int cmd_send(int, char **) {
    return report_error("send", Exit::system_failure, "not built yet");
}

} // namespace cvmin
